-- Remove a batch that was dealt with, if the head of the inbox is still where its reader thinks.
-- A plain LTRIM is relative to the head of the moment: one that runs late, sent on a connection
-- since given up, would remove envelopes that nobody has delivered.
-- KEYS  1 open   2 inbox   3 done
-- ARGV  1 position of the batch's first envelope   2 how many to remove
-- Returns 1; 0 if the head is elsewhere; -1 if the endpoint is fenced. Not 1: nothing was changed.
local found = redis.call('MGET', KEYS[1], KEYS[3])
if not found[1] then
  return -1
end
if (found[2] or '0') ~= ARGV[1] then
  return 0
end
redis.call('LTRIM', KEYS[2], ARGV[2], -1)
redis.call('INCRBY', KEYS[3], ARGV[2])
return 1
