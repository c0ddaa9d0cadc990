-- Let an endpoint receive: make its `open` key and its lease in one step.
-- KEYS  1 open   2 lease
-- ARGV  1 lease value   2 lease TTL, milliseconds
-- Returns 1; 0 if the endpoint exists already (its epoch is taken).
if redis.call('EXISTS', KEYS[1]) == 1 then
  return 0
end
redis.call('SET', KEYS[1], 1)
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
return 1
