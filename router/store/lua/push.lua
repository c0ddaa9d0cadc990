-- Push envelopes into an endpoint's inbox, in order, all of them or none.
-- They are pushed first and taken back if they do not fit: nearly always they do, and that costs no
-- look at the length. Who waits for the list is served after the script, so nobody sees them.
-- KEYS  1 open   2 inbox
-- ARGV  1 most envelopes in it   2 most bytes   3 length up to which it is not weighed   4.. envelopes
-- Returns the inbox's new length; -1 if the endpoint may not receive; -2 if they do not fit.
if redis.call('EXISTS', KEYS[1]) == 0 then
  return -1
end
local length = redis.call('RPUSH', KEYS[2], unpack(ARGV, 4))
if length <= tonumber(ARGV[1]) and (length <= tonumber(ARGV[3])
  or redis.call('MEMORY', 'USAGE', KEYS[2], 'SAMPLES', 0) <= tonumber(ARGV[2])) then
  return length
end
redis.call('LTRIM', KEYS[2], 0, 2 - #ARGV)
return -2
