-- Remove or replace a device, if it is still the registration that was read.
-- KEYS
--   1 the user's devices   2 the token's owner   3 the records of the user's phones
-- ARGV
--   1 device key   2 registered_at µs as it was read   3 the new device as JSON, or "" to remove it
-- Returns 1, or 0 if it is another registration now.
-- include: lib/registration
if not is_still(KEYS[1], ARGV[1], ARGV[2]) then return 0 end
if ARGV[3] == '' then
  remove(KEYS[1], ARGV[1], KEYS[2], KEYS[3])
else
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
end
return 1
