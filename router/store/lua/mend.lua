-- Remove what stands in the place of an endpoint's keys and is none of ours: another type, a position
-- that is no number, users with a score, which would break the order of the others.
-- KEYS  1 inbox   2 rescued   3 rescuer   4 done   5 users
-- Returns how many things were removed.
local removed = 0
local function strange(kind, wanted)
  return kind.ok ~= 'none' and kind.ok ~= wanted
end
if strange(redis.call('TYPE', KEYS[1]), 'list') then removed = removed + redis.call('DEL', KEYS[1]) end
if strange(redis.call('TYPE', KEYS[2]), 'list') then removed = removed + redis.call('DEL', KEYS[2]) end
if strange(redis.call('TYPE', KEYS[3]), 'string') then removed = removed + redis.call('DEL', KEYS[3]) end
if strange(redis.call('TYPE', KEYS[4]), 'string') then removed = removed + redis.call('DEL', KEYS[4]) end
if strange(redis.call('TYPE', KEYS[5]), 'zset') then removed = removed + redis.call('DEL', KEYS[5]) end
local done = redis.call('GET', KEYS[4])
if done and (#done > 15 or not done:match('^%d+$')) then
  removed = removed + redis.call('DEL', KEYS[4])
end
return removed + redis.call('ZREMRANGEBYSCORE', KEYS[5], '-inf', '(0')
  + redis.call('ZREMRANGEBYSCORE', KEYS[5], '(0', '+inf')
