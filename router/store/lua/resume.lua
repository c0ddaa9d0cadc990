-- Say where a device goes on reading its user's mailbox, and hold what it has not had for it.
-- KEYS  1 cursors   2 mail
-- ARGV  1 device   2 offset it asks to go on after, "" for its cursor   3 TTL of the mailbox, milliseconds
--       4 most devices whose cursors are kept
-- Returns {offset to read after, 1 if all behind it is there, else 0, newest offset}.
local function older(a, b)
  local a_ms, a_seq = a:match('^(%d+)-(%d+)')
  local b_ms, b_seq = b:match('^(%d+)-(%d+)')
  if tonumber(a_ms) ~= tonumber(b_ms) then return tonumber(a_ms) < tonumber(b_ms) end
  return tonumber(a_seq) < tonumber(b_seq)
end

local newest = '0-0'
if redis.call('EXISTS', KEYS[2]) == 1 then
  local info = redis.call('XINFO', 'STREAM', KEYS[2])
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then newest = info[i + 1] end
  end
end
local cut = redis.call('HGET', KEYS[1], '') or '0-0'
local cursor = redis.call('HGET', KEYS[1], ARGV[1])
local asked = ARGV[2] ~= '' and ARGV[2] or cursor and cursor:match('^%S+')
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
local at = cursor and cursor:match('^%S+') or after
redis.call('HSET', KEYS[1], ARGV[1], at .. ' ' .. string.format('%.0f', now))
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return {after, whole, newest}
