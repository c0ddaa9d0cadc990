-- Remove the routes of one user that name one endpoint, and look up what remains, in one step.
-- KEYS  1 routes   2 seen
-- ARGV  1 what its fields begin with   2 the same, packed   3 TTL of `seen`, milliseconds
--       4.. fields of that endpoint to keep
-- Returns the fields that remain.
local keep = {}
for i = 4, #ARGV do
  keep[ARGV[i]] = true
end
local remaining = {}
local removed = 0
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  local theirs = string.sub(field, 1, #ARGV[1]) == ARGV[1] or string.sub(field, 1, #ARGV[2]) == ARGV[2]
  if theirs and not keep[field] then
    removed = removed + redis.call('HDEL', KEYS[1], field)
  else
    remaining[#remaining + 1] = field
  end
end
if removed > 0 and #remaining == 0 then
  redis.call('SET', KEYS[2], redis.call('TIME')[1], 'PX', ARGV[3])
end
return remaining
