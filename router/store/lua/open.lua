-- Let an endpoint receive: make its `open` key and its lease in one step. `open` keeps what the
-- endpoint said of itself at the start, for whoever looks at it when its lease has ended.
-- KEYS  1 open   2 lease
-- ARGV  1 what the endpoint says of itself   2 lease TTL, milliseconds
-- Returns 1; 0 if the endpoint exists already (its epoch is taken).
if redis.call('EXISTS', KEYS[1]) == 1 then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1])
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
return 1
