-- Push envelopes into an endpoint's inbox, in order, all of them or none.
-- KEYS  1 open   2 inbox
-- ARGV  1 most envelopes the inbox may hold   2.. envelopes
-- Returns the inbox's new length; -1 if the endpoint may not receive; -2 if they do not fit.
if redis.call('EXISTS', KEYS[1]) == 0 then
  return -1
end
if redis.call('LLEN', KEYS[2]) + #ARGV - 1 > tonumber(ARGV[1]) then
  return -2
end
return redis.call('RPUSH', KEYS[2], unpack(ARGV, 2))
