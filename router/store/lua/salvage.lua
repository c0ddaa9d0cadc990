-- Remove a batch of a rescued inbox that was sent on, if it is ours to rescue and the head is still
-- where we think; with no envelopes, only keep the token.
-- KEYS  1 rescuer   2 rescued   3 done
-- ARGV  1 token   2 TTL of the token, milliseconds   3 position of the batch   4 how many
-- Returns 1; 0 if the token is another's or has ended, or the head is elsewhere: nothing was done.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
if (redis.call('GET', KEYS[3]) or '0') ~= ARGV[3] then
  return 0
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
if tonumber(ARGV[4]) > 0 then
  redis.call('LTRIM', KEYS[2], ARGV[4], -1)
  redis.call('INCRBY', KEYS[3], ARGV[4])
end
return 1
