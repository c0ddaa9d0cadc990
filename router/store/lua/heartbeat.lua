-- Renew an endpoint's lease, but only while it may receive.
-- KEYS  1 open   2 lease
-- ARGV  1 lease value   2 lease TTL, milliseconds
-- Returns the store's time, milliseconds since 1970; -1 if the endpoint is fenced (no `open`).
if redis.call('EXISTS', KEYS[1]) == 0 then
  return -1
end
-- A full store refuses SET, unless something was written before it: leases must not end for that.
redis.call('PEXPIRE', KEYS[2], ARGV[2])
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
local now = redis.call('TIME')
return now[1] * 1000 + math.floor(now[2] / 1000)
