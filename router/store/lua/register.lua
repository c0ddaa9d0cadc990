-- Write one session's route, or refresh it.
-- KEYS  1 routes
-- ARGV  1 field `endpoint/session`   2 entry   3 TTL of the whole hash, milliseconds
-- Returns 1 if the user was offline before, else 0.
local before = redis.call('HLEN', KEYS[1])
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
if before == 0 then
  return 1
end
return 0
