-- Count a token that its provider reported as dead. If many tokens of an app die in one window, a mistake of ours is the likely
-- reason. Then the brake is set: no token of the app is removed for a while.
-- KEYS
--   1 the app's brake   2 its dying tokens   3 its accepted pushes   4 the users whose tokens die (all three of this window)
-- ARGV
--   1 device key   2 tenant and user   3 window s   4 brake s   5 fewest users   6 most dying percent
-- Returns "go" if the token may be removed, "brake set" or "braked".
redis.call('SADD', KEYS[2], ARGV[1])  -- workers of an older version count these
redis.call('EXPIRE', KEYS[2], ARGV[3])
-- One user can register many tokens that never lived. So each user counts once.
redis.call('SADD', KEYS[4], ARGV[2])
redis.call('EXPIRE', KEYS[4], ARGV[3])
local dying, answered = redis.call('SCARD', KEYS[4]), tonumber(redis.call('GET', KEYS[3]) or '0')
if redis.call('EXISTS', KEYS[1]) == 1 then return 'braked' end
if dying >= tonumber(ARGV[5]) and dying * 100 > (dying + answered) * tonumber(ARGV[6]) then
  redis.call('SET', KEYS[1], dying, 'EX', ARGV[4])
  return 'brake set'
end
return 'go'
