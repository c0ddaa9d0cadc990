-- List users under an endpoint, but only while that endpoint may receive: a late one after the
-- endpoint was cleaned up would leave a key for ever.
-- KEYS  1 open   2 users
-- ARGV  1.. 0 and a user, in turns
-- Returns 1; 0 if the endpoint is fenced.
if redis.call('EXISTS', KEYS[1]) == 0 then
  return 0
end
local function list()
  return redis.pcall('ZADD', KEYS[2], unpack(ARGV, 1))
end
if type(list()) == 'table' then
  -- Another type is somebody else's hand, and must not keep everybody out. Any other error comes again.
  if redis.call('TYPE', KEYS[2]).ok ~= 'zset' then
    redis.call('DEL', KEYS[2])
  end
  local again = list()
  if type(again) == 'table' then return again end
end
return 1
