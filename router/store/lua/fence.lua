-- Close an endpoint that seems dead, or take over its rescue, in one step.
-- KEYS  1 open   2 lease   3 inbox   4 rescued   5 rescuer
-- ARGV  1 token of the rescuer   2 TTL of the token, milliseconds
-- Returns 1 when the rescue is ours; 0 if the endpoint is alive after all; -1 if somebody else
-- rescues it.
local open = redis.call('EXISTS', KEYS[1])
if open == 1 and redis.call('EXISTS', KEYS[2]) == 1 then
  return 0
end
local rescuer = redis.call('GET', KEYS[5])
if rescuer and rescuer ~= ARGV[1] then
  return -1
end
redis.call('SET', KEYS[5], ARGV[1], 'PX', ARGV[2])
redis.call('DEL', KEYS[1])
-- What a zombie still sends to the inbox finds an empty name: a closed inbox takes no push.
if redis.call('EXISTS', KEYS[3]) == 1 and redis.call('EXISTS', KEYS[4]) == 0 then
  redis.call('RENAME', KEYS[3], KEYS[4])
end
return 1
