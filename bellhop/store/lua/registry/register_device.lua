-- Register a device: its token leaves whoever had it, and the user's oldest device leaves when there are too many.
-- KEYS: the user's devices, the token's owner  ARGV: device key, device as JSON, user, most devices, owner key's prefix, devices key's prefix,
--   and optionally "adopt": only if nobody has the token
local devices, owner = KEYS[1], KEYS[2]
local key, user, owners, users = ARGV[1], ARGV[3], ARGV[5], ARGV[6]
local before = redis.call('GET', owner)
if before and ARGV[7] == 'adopt' then return { before, 0 } end
if before and before ~= user then redis.call('HDEL', users .. before, key) end
redis.call('HSET', devices, key, ARGV[2])
redis.call('SET', owner, user)

local stored = redis.call('HGETALL', devices)
local ages = {}
for i = 1, #stored, 2 do
  ages[#ages + 1] = { stored[i], tonumber(cjson.decode(stored[i + 1]).registered_at) }
end
table.sort(ages, function(a, b) return a[2] < b[2] or a[2] == b[2] and a[1] < b[1] end)
local removed = 0
for i = 1, #ages - tonumber(ARGV[4]) do
  redis.call('HDEL', devices, ages[i][1])
  redis.call('DEL', owners .. ages[i][1])
  removed = removed + 1
end
return { before or '', removed }
