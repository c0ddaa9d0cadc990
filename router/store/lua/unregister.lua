-- Remove exactly one session's route; when it was the last, note when the user was last seen.
-- KEYS  1 routes   2 seen
-- ARGV  1 field `endpoint/session`   2 TTL of `seen`, milliseconds
-- Returns 1 if this was the user's last session; 0 if others remain or it was not there.
if redis.call('HDEL', KEYS[1], ARGV[1]) == 0 then
  return 0
end
if redis.call('EXISTS', KEYS[1]) == 1 then
  return 0
end
redis.call('SET', KEYS[2], redis.call('TIME')[1], 'PX', ARGV[2])
return 1
