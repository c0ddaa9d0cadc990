-- End an endpoint whose inbox is empty, in one step with seeing that it is.
-- KEYS  1 open   2 lease   3 inbox   4 done   5 users
-- Returns 0 when closed; the number of envelopes still waiting; or -1 if the endpoint is fenced,
-- and what is left of it is its rescuer's. Not 0: nothing was changed.
if redis.call('EXISTS', KEYS[1]) == 0 then
  return -1
end
local waiting = redis.call('LLEN', KEYS[3])
if waiting == 0 then
  redis.call('DEL', KEYS[1], KEYS[2], KEYS[4], KEYS[5])
end
return waiting
