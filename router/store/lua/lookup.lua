-- Look a user up for a message that is stored, or that must not be sent twice; all in one step, so
-- nothing can fall between "absent" and "stored".
-- KEYS  1 routes   2 mail   3 cursors   4 key, the idempotency key, when there is one
-- ARGV  1 the message's id   2 its name among repeats, `origin id`   3 what to store, "" for nothing
--       4 most messages in a mailbox   5 most bytes   6 TTL of the mailbox, milliseconds
--       7 TTL of the idempotency key, milliseconds   8 "1" if this may have run before
-- Returns {status, a, b, route fields}: {"ok", offset, offset of the message before}, both "" when
-- nothing is stored; {"duplicate", id of the first message, ""}; {"full", length, bytes}.
local fields = redis.call('HKEYS', KEYS[1])
local again = ARGV[8] == '1'
if KEYS[4] then
  local first = redis.call('GET', KEYS[4])
  if first and first ~= ARGV[1] then
    return {'duplicate', first, '', fields}
  end
  again = again or first
  redis.call('SET', KEYS[4], ARGV[1], 'PX', ARGV[7])
end
if ARGV[3] == '' then
  return {'ok', '', '', fields}
end

if again then
  local newest = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 129)
  for i, entry in ipairs(newest) do
    if entry[2][2] == ARGV[2] then
      local before = newest[i + 1] and newest[i + 1][1] or redis.call('HGET', KEYS[3], '') or '0-0'
      return {'ok', entry[1], before, fields}
    end
  end
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local before, bytes, length, made = '0-0', 0, 0, redis.call('EXISTS', KEYS[2]) == 0
local ever = 0 -- bytes that were ever stored here: each entry says how many, itself included
if not made then
  local oldest = string.format('%.0f-0', now - ARGV[6])
  local info, mail = redis.call('XINFO', 'STREAM', KEYS[2]), {}
  for i = 1, #info, 2 do mail[info[i]] = info[i + 1] end
  local first = mail['first-entry']
  local aged = first and redis.call('XREVRANGE', KEYS[2], '(' .. oldest, '-', 'COUNT', 1)[1]
  if aged then
    redis.call('XTRIM', KEYS[2], 'MINID', '=', oldest)
    redis.call('HSET', KEYS[3], '', aged[1])
    redis.call('PEXPIRE', KEYS[3], ARGV[6])
    first = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1]
  end
  before = mail['last-generated-id']
  length = redis.call('XLEN', KEYS[2])
  ever = mail['last-entry'] and tonumber(mail['last-entry'][2][6]) or 0
  if first then
    bytes = ever - (tonumber(first[2][6]) or 0) + #(first[2][4] or '')
  end
end
if length >= tonumber(ARGV[4]) or bytes + #ARGV[3] > tonumber(ARGV[5]) then
  if KEYS[4] then redis.call('DEL', KEYS[4]) end -- a later try is not a repeat: nothing was sent
  return {'full', length, bytes, fields}
end
local total = string.format('%.0f', ever + #ARGV[3])
local offset = redis.call('XADD', KEYS[2], '*', 'name', ARGV[2], 'message', ARGV[3], 'total', total)
redis.call('PEXPIRE', KEYS[2], ARGV[6])
if made then
  -- The devices that are here have had nothing yet; without a cursor of their own, the first that
  -- acknowledges would have the message removed before the others.
  local routes = redis.call('HVALS', KEYS[1])
  for _, route in ipairs(routes) do
    local read, entry = pcall(cmsgpack.unpack, route)
    local device = read and type(entry) == 'table' and entry[1]
    if type(device) == 'number' then -- since when, address, device; an older one begins with it
      device = entry[3] or 'default'
    end
    if type(device) == 'string' then
      redis.call('HSETNX', KEYS[3], device, '0-0 ' .. string.format('%.0f', now))
    end
  end
end
redis.call('PEXPIRE', KEYS[3], ARGV[6])
return {'ok', offset, before, fields}
