-- Put a new provider token in the place of an old one; the first process that tries wins.
-- KEYS[1] the token; ARGV: the token to replace ("" for none), the new one, seconds to keep it.
-- Returns the token in use.
local current = redis.call('GET', KEYS[1])
if current and current ~= ARGV[1] then
  return current
end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
return ARGV[2]
