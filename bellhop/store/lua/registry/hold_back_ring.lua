-- Remember that quiet hours held a ring back; the latest counts, in whatever order they are told.
-- KEYS: the user's rings held back  ARGV: caller, stamp of the ring µs, ttl s
local before = redis.call('HGET', KEYS[1], ARGV[1])
if not before or tonumber(before) < tonumber(ARGV[2]) then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
  redis.call('EXPIRE', KEYS[1], ARGV[3])
end
