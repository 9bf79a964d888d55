-- Put on the trail the result of telling Stream that a user rejected a ring. If this runs again because the answer was lost,
-- nothing changes.
-- KEYS
--   1 the round   2 the trail
-- ARGV
--   1 user   2 "done" if nothing more is sent, else ""   3 trail line   4 length of a trail   5 seconds to keep a trail that has no expiry
-- include: lib/trail
local round, trail, field = KEYS[1], KEYS[2], 'rejected:' .. ARGV[1]
if redis.call('HGET', round, field) == 'done' then return end
append_to_trail(trail, lines_not_on(trail, { ARGV[3] }, 1000), ARGV[4], ARGV[5])
-- A round that has expired must not be created again.
if ARGV[2] == 'done' and redis.call('EXISTS', round) == 1 then redis.call('HSET', round, field, 'done') end
