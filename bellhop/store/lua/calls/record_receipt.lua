-- A phone says that it rang: once for each device and round, while the round is known, on the trail of its call.
-- KEYS: round, trail  ARGV: device key, trail line, trail length, ttl s of a trail that has none
if redis.call('EXISTS', KEYS[1]) == 0 then return 'over' end
if redis.call('HSETNX', KEYS[1], 'rang:' .. ARGV[1], '1') == 0 then return 'already' end
redis.call('RPUSH', KEYS[2], ARGV[2])
redis.call('LTRIM', KEYS[2], -tonumber(ARGV[3]), -1)
if redis.call('TTL', KEYS[2]) < 0 then redis.call('EXPIRE', KEYS[2], ARGV[4]) end
return 'recorded'
