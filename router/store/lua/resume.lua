-- Say where a device goes on reading its user's mailbox, and hold what it has not had for it.
-- KEYS  1 cursors   2 mail
-- ARGV  1 device   2 offset it asks to go on after, "" for its cursor   3 TTL of the mailbox, milliseconds
--       4 most devices whose cursors are kept
-- Returns {offset to read after, 1 if all behind it is there, else 0, newest offset}.
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

local newest = '0-0'
if redis.call('TYPE', KEYS[2]).ok == 'stream' then
  local info = redis.call('XINFO', 'STREAM', KEYS[2])
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then newest = info[i + 1] end
  end
end
local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'hash' and kind ~= 'none' then -- somebody else's hand
  redis.call('DEL', KEYS[1])
end
local cut = place(redis.call('HGET', KEYS[1], ''))
local cursor = redis.call('HGET', KEYS[1], ARGV[1])
local asked = ARGV[2] ~= '' and ARGV[2] or cursor and place(cursor)
local after, whole = asked or cut, asked and 1 or 0
if older(newest, after) then -- the store has lost what the client has seen
  after, whole = newest, 0
end
if older(after, cut) then
  whole = 0
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local devices = redis.call('HLEN', KEYS[1]) - redis.call('HEXISTS', KEYS[1], '')
if not cursor and devices >= tonumber(ARGV[4]) then
  local longest, away
  local held = redis.call('HGETALL', KEYS[1])
  for i = 1, #held, 2 do
    local seen = tonumber(held[i + 1]:match('%s(%d+)$'))
    if seen and (not away or seen < away) then longest, away = held[i], seen end
  end
  if longest then redis.call('HDEL', KEYS[1], longest) end
end
local at = cursor and place(cursor) or after
redis.call('HSET', KEYS[1], ARGV[1], at .. ' ' .. string.format('%.0f', now))
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return {after, whole, newest}
