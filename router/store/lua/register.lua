-- Write one session's route, or refresh it. Nearly always it is there as it should be, and is only
-- given its time anew.
-- KEYS  1 routes   2 mail
-- ARGV  1 field `endpoint/session`   2 entry   3 TTL of the whole hash, milliseconds
-- Returns the newest offset in the user's mailbox; nil if there is no mailbox.
local found = redis.pcall('HGET', KEYS[1], ARGV[1])
if found ~= ARGV[2] then
  if type(found) == 'table' then -- another type: somebody else's hand
    redis.call('DEL', KEYS[1])
  elseif redis.call('EXISTS', KEYS[1]) == 1 then
    -- A full store refuses HSET, unless something was written before it: no route must end for that.
    redis.call('PEXPIRE', KEYS[1], ARGV[3])
  end
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
if redis.call('EXISTS', KEYS[2]) == 0 then
  return false
end
local mail = redis.pcall('XINFO', 'STREAM', KEYS[2]) -- an error, of another type, has no fields
for i = 1, #mail, 2 do
  if mail[i] == 'last-generated-id' then return mail[i + 1] end
end
return false
