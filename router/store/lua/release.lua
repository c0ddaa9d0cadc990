-- Forget the idempotency key of a message that reached nobody, unless it is another's by now.
-- KEYS  1 key
-- ARGV  1 the message's id
-- Returns 1; 0 if the key stands for another message, or has ended.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
return redis.call('DEL', KEYS[1])
