-- Compare and delete, or compare and replace: only while the device is the very registration that was read.
-- A token registered again meanwhile is a living one, whatever a provider said about the older.
-- KEYS: the user's devices, the token's owner  ARGV: device key, registered_at µs as it was read, the replacement as JSON or ""
local stored = redis.call('HGET', KEYS[1], ARGV[1])
if not stored or cjson.decode(stored).registered_at ~= tonumber(ARGV[2]) then return 0 end
if ARGV[3] == '' then
  redis.call('HDEL', KEYS[1], ARGV[1])
  redis.call('DEL', KEYS[2])
else
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
end
return 1
