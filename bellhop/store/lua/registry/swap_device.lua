-- Remove or replace a user's device, if it is still the registration that was read: a token that was registered again is
-- alive, whatever a provider said about the older registration.
-- KEYS
--   1 the user's devices   2 the records of the user's phones
-- ARGV
--   1 device key   2 registered_at µs as it was read   3 the new device as JSON, or "" to remove it
-- Returns "done", "changed" (it is another registration now) or "gone".
local stored = redis.call('HGET', KEYS[1], ARGV[1])
if not stored then return 'gone' end
if cjson.decode(stored).registered_at ~= tonumber(ARGV[2]) then return 'changed' end
if ARGV[3] == '' then
  redis.call('HDEL', KEYS[1], ARGV[1])
  redis.call('HDEL', KEYS[2], ARGV[1])
else
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
end
return 'done'
