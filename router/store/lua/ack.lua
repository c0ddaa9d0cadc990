-- Note how far a device has acknowledged, and remove from the mailbox what all devices have.
-- KEYS  1 cursors   2 mail
-- ARGV  1 device   2 offset, cumulative   3 TTL of the mailbox, milliseconds
-- Returns 1; 0 if the device was as far already.
local function place(text) -- the offset that a cursor begins with; the start for what has none
  local ms, seq = (text or ''):match('^(%d+)-(%d+)')
  if not ms or #ms > 15 or #seq > 15 then return '0-0' end
  return ms .. '-' .. seq
end

local function older(a, b)
  local a_ms, a_seq = a:match('^(%d+)-(%d+)')
  local b_ms, b_seq = b:match('^(%d+)-(%d+)')
  if tonumber(a_ms) ~= tonumber(b_ms) then return tonumber(a_ms) < tonumber(b_ms) end
  return tonumber(a_seq) < tonumber(b_seq)
end

local cursor = redis.call('HGET', KEYS[1], ARGV[1])
if cursor and not older(place(cursor), ARGV[2]) then
  return 0
end
redis.call('PEXPIRE', KEYS[1], ARGV[3]) -- first, or a full store would refuse what makes room
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ' ' .. string.format('%.0f', now))
redis.call('PEXPIRE', KEYS[1], ARGV[3])
local lowest, held = ARGV[2], redis.call('HGETALL', KEYS[1])
for i = 1, #held, 2 do
  local at, seen = held[i + 1]:match('^(%S+)%s(%d+)$')
  if at and now - seen > tonumber(ARGV[3]) then
    redis.call('HDEL', KEYS[1], held[i]) -- it never came back: it holds nothing for longer
  elseif at and older(place(at), lowest) then
    lowest = place(at)
  end
end
local cut = place(redis.call('HGET', KEYS[1], ''))
if older(cut, lowest) then
  local ms, seq = lowest:match('^(%d+)-(%d+)')
  -- What is no mailbox is not trimmed, and must not keep the device from being told as far.
  redis.pcall('XTRIM', KEYS[2], 'MINID', '=', ms .. '-' .. string.format('%.0f', seq + 1))
  redis.call('HSET', KEYS[1], '', lowest)
end
return 1
