-- Write one session's route, or refresh it.
-- KEYS  1 routes   2 mail
-- ARGV  1 field `endpoint/session`   2 entry   3 TTL of the whole hash, milliseconds
-- Returns the newest offset in the user's mailbox; nil if there is no mailbox.
-- A full store refuses HSET, unless something was written before it: no route must end for that.
local kind = redis.call('TYPE', KEYS[1]).ok
if kind == 'hash' then
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
elseif kind ~= 'none' then -- somebody else's hand
  redis.call('DEL', KEYS[1])
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
if redis.call('TYPE', KEYS[2]).ok ~= 'stream' then
  return false
end
local mail = redis.call('XINFO', 'STREAM', KEYS[2])
for i = 1, #mail, 2 do
  if mail[i] == 'last-generated-id' then return mail[i + 1] end
end
