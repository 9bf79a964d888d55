-- A provider says that a token is dead: remove it, unless it was registered again meanwhile, or unless so many tokens of the
-- app die at once that the mistake is more likely ours. The brake then keeps every token of that app for a while.
-- KEYS: the user's devices, the token's owner, the app's brake, its dying tokens, its answered pushes (of this window)
-- ARGV: device key, registered_at µs as it was read, window s, brake s, fewest dying tokens, most dying share in percent
-- include: lib/registration
redis.call('SADD', KEYS[4], ARGV[1])
redis.call('EXPIRE', KEYS[4], ARGV[3])
local dying, answered = redis.call('SCARD', KEYS[4]), tonumber(redis.call('GET', KEYS[5]) or '0')
if redis.call('EXISTS', KEYS[3]) == 1 then return 'braked' end
if dying >= tonumber(ARGV[5]) and dying * 100 > (dying + answered) * tonumber(ARGV[6]) then
  redis.call('SET', KEYS[3], dying, 'EX', ARGV[4])
  return 'brake set'
end
if not is_still(KEYS[1], ARGV[1], ARGV[2]) then return 'changed' end
remove(KEYS[1], ARGV[1], KEYS[2])
return 'removed'
