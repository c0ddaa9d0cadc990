-- End an endpoint whose inbox is empty, in one step with seeing that it is.
-- KEYS  1 open   2 lease   3 inbox   4 done   5 users
-- Returns 0 when closed; else the number of envelopes still waiting, and nothing was changed.
local waiting = redis.call('LLEN', KEYS[3])
if waiting == 0 then
  redis.call('DEL', KEYS[1], KEYS[2], KEYS[4], KEYS[5])
end
return waiting
