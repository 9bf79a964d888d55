-- Remove a token that its provider reported as dead, unless it was registered again meanwhile. If so many tokens of an app
-- die in one window that a mistake of ours is the likely reason, the brake is set: no token of the app is removed for a while.
-- KEYS
--   1 the user's devices   2 the token's owner   3 the app's brake   4 its dying tokens   5 its accepted pushes (of this window)
--   6 the users whose tokens die (of this window)   7 the records of the user's phones
-- ARGV
--   1 device key   2 registered_at µs as it was read   3 window s   4 brake s   5 fewest users   6 most dying percent
-- Returns "removed", "changed" (it is another registration now), "brake set" or "braked".
-- include: lib/registration
redis.call('SADD', KEYS[4], ARGV[1])  -- workers of an older version count these
redis.call('EXPIRE', KEYS[4], ARGV[3])
-- One user can register many tokens that never lived. So each user counts once.
redis.call('SADD', KEYS[6], KEYS[1])
redis.call('EXPIRE', KEYS[6], ARGV[3])
local dying, answered = redis.call('SCARD', KEYS[6]), tonumber(redis.call('GET', KEYS[5]) or '0')
if redis.call('EXISTS', KEYS[3]) == 1 then return 'braked' end
if dying >= tonumber(ARGV[5]) and dying * 100 > (dying + answered) * tonumber(ARGV[6]) then
  redis.call('SET', KEYS[3], dying, 'EX', ARGV[4])
  return 'brake set'
end
if not is_still(KEYS[1], ARGV[1], ARGV[2]) then return 'changed' end
remove(KEYS[1], ARGV[1], KEYS[2], KEYS[7])
return 'removed'
