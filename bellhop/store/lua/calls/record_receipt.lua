-- A phone reports that it rang. This is put on the trail once for each device and round, while the round is known.
-- KEYS
--   1 the round   2 the trail
-- ARGV
--   1 device key   2 trail line   3 length of a trail   4 seconds to keep a trail that has no expiry
-- Returns "recorded", "already", or "over" if the round is not known any more.
-- include: lib/trail
if redis.call('EXISTS', KEYS[1]) == 0 then return 'over' end
if redis.call('HEXISTS', KEYS[1], 'rang:' .. ARGV[1]) == 1 then return 'already' end
append_to_trail(KEYS[2], { ARGV[2] }, ARGV[3], ARGV[4])
redis.call('HSET', KEYS[1], 'rang:' .. ARGV[1], '1')
return 'recorded'
