-- Compare and delete, or compare and replace.
-- KEYS: the user's devices, the token's owner  ARGV: device key, registered_at µs as it was read, the replacement as JSON or ""
-- include: lib/registration
if not is_still(KEYS[1], ARGV[1], ARGV[2]) then return 0 end
if ARGV[3] == '' then
  remove(KEYS[1], ARGV[1], KEYS[2])
else
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
end
return 1
