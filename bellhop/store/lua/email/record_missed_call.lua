-- Record that a missed call is in an e-mail: a mark in the round, and a line on the trail. A call with this mark is put into no
-- other e-mail.
-- KEYS
--   1 the round   2 the trail
-- ARGV
--   1 user   2 "1" if the call was in the e-mail before: then a round that has expired is not marked
--   3 seconds to keep a round that has no expiry   4 length of a trail   5 seconds to keep a trail that has no expiry
--   6 trail line
-- include: lib/expiry
-- include: lib/trail
local round, trail, mark = KEYS[1], KEYS[2], 'e:' .. ARGV[1]
if redis.call('HEXISTS', round, mark) == 1 or ARGV[2] == '1' and redis.call('EXISTS', round) == 0 then return end
-- After an error, the line may be there already.
append_to_trail(trail, lines_not_on(trail, { ARGV[6] }, 1000), ARGV[4], ARGV[5])
redis.call('HSET', round, mark, '1')
expire_unless_set(round, ARGV[3])
