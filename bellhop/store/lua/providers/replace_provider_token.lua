-- Replace a provider token. The first process that tries wins.
-- KEYS
--   1 the token
-- ARGV
--   1 the token to replace, or "" for none   2 the new token   3 seconds to keep it
-- Returns the token in use now.
local current = redis.call('GET', KEYS[1])
if current and current ~= ARGV[1] then
  return current
end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
return ARGV[2]
