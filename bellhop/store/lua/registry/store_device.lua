-- Store a user's device. If the user has too many devices now, the oldest are removed.
-- KEYS
--   1 the user's devices   2 the records of the user's phones
-- ARGV
--   1 device key   2 device as JSON   3 limit of devices   4 "1" to keep a device that is there already
-- Returns the devices that it removed, a key and a JSON text for each; nil if it stored nothing.
local devices, phones, key = KEYS[1], KEYS[2], ARGV[1]
if ARGV[4] == '1' and redis.call('HEXISTS', devices, key) == 1 then return false end
redis.call('HSET', devices, key, ARGV[2])

local stored = redis.call('HGETALL', devices)
local ages = {}
for i = 1, #stored, 2 do
  ages[#ages + 1] = { stored[i], tonumber(cjson.decode(stored[i + 1]).registered_at), stored[i + 1] }
end
table.sort(ages, function(a, b) return a[2] < b[2] or a[2] == b[2] and a[1] < b[1] end)
local removed = {}
for i = 1, #ages - tonumber(ARGV[3]) do
  redis.call('HDEL', devices, ages[i][1])
  redis.call('HDEL', phones, ages[i][1])
  removed[2 * i - 1], removed[2 * i] = ages[i][1], ages[i][3]
end
return removed
