-- Remove what is left of an endpoint once its inbox was rescued and its routes are gone.
-- KEYS  1 rescuer   2 rescued   3 done   4 users   5 lease
-- ARGV  1 token
-- Returns 1; 0 if the token is another's or has ended, or something still waits.
if redis.call('GET', KEYS[1]) ~= ARGV[1] or redis.call('EXISTS', KEYS[2]) == 1 then
  return 0
end
if redis.call('ZCARD', KEYS[4]) > 0 then
  return 0
end
redis.call('DEL', KEYS[1], KEYS[3], KEYS[4], KEYS[5])
return 1
