-- Remember that quiet hours held a ring back. The latest ring of each caller counts, in whatever order they are recorded.
-- KEYS
--   1 the user's rings that were held back
-- ARGV
--   1 caller   2 start of the ring µs   3 seconds to keep it
local before = redis.call('HGET', KEYS[1], ARGV[1])
if not before or tonumber(before) < tonumber(ARGV[2]) then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
  redis.call('EXPIRE', KEYS[1], ARGV[3])
end
