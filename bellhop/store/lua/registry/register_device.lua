-- Register a device. Its token is taken from the user who had it. If the user has too many devices now, the oldest are removed.
-- KEYS
--   1 the user's devices   2 the token's owner   3 the records of the user's phones
-- ARGV
--   1 device key   2 device as JSON   3 user   4 limit of devices   5 start of the keys that name the owner of a token
--   6 start of the keys of users' devices   7 start of the keys of the records of users' phones
--   8 optional: "adopt" registers the device only if the token has no owner
-- Returns the owner before ("" if there was none), and how many old devices left.
local devices, owner, phones = KEYS[1], KEYS[2], KEYS[3]
local key, user, owners, users, records = ARGV[1], ARGV[3], ARGV[5], ARGV[6], ARGV[7]
local before = redis.call('GET', owner)
if before and ARGV[8] == 'adopt' then return { before, 0 } end
if before and before ~= user then
  redis.call('HDEL', users .. before, key)
  redis.call('HDEL', records .. before, key)
end
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
  redis.call('HDEL', phones, ages[i][1])
  redis.call('DEL', owners .. ages[i][1])
  removed = removed + 1
end
return { before or '', removed }
