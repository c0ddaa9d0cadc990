-- Remove the routes of one user that name one endpoint, and look up what remains, in one step.
-- KEYS  1 routes   2 seen
-- ARGV  1 endpoint   2 TTL of `seen`, milliseconds   3.. sessions of that endpoint to keep
-- Returns the fields that remain.
local prefix = ARGV[1] .. '/'
local keep = {}
for i = 3, #ARGV do
  keep[prefix .. ARGV[i]] = true
end
local remaining = {}
local removed = 0
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  if string.sub(field, 1, #prefix) == prefix and not keep[field] then
    removed = removed + redis.call('HDEL', KEYS[1], field)
  else
    remaining[#remaining + 1] = field
  end
end
if removed > 0 and #remaining == 0 then
  redis.call('SET', KEYS[2], redis.call('TIME')[1], 'PX', ARGV[2])
end
return remaining
