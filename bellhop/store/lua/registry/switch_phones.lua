-- Disable or enable phones of a user. A phone is named by its device key, and by its hardware id if the app knows it.
-- KEYS
--   1 the user
-- ARGV
--   1 unix µs of the disabling, or "" to enable   2 how many names are kept   3… names of the phones
-- Returns how many of these names have changed.
local stored = redis.call('HGET', KEYS[1], 'disabled')
local read, disabled = pcall(cjson.decode, stored or '{}')
if not read or type(disabled) ~= 'table' then disabled = {} end
local changed = 0
for i = 3, #ARGV do
  local before = disabled[ARGV[i]]
  if (ARGV[1] == '') == (before ~= nil) then changed = changed + 1 end
  -- The time of a phone changes only if the phone was enabled before.
  if ARGV[1] == '' then disabled[ARGV[i]] = nil else disabled[ARGV[i]] = before or ARGV[1] end
end

local names = {}
for name in pairs(disabled) do names[#names + 1] = name end
table.sort(names, function(a, b)
  local first, second = tonumber(disabled[a]), tonumber(disabled[b])
  return first < second or first == second and a < b
end)
for i = 1, #names - tonumber(ARGV[2]) do disabled[names[i]] = nil end

if next(disabled) then
  redis.call('HSET', KEYS[1], 'disabled', cjson.encode(disabled))
else
  redis.call('HDEL', KEYS[1], 'disabled')
end
return changed
