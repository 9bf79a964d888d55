-- A phone reports something about its ring, with its ticket. Each event is put on the trail once for each device and round, while
-- the round is known. A rejection before the deadline is not recorded here if it is known for whom the device was rung.
-- KEYS
--   1 the round   2 the trail   3 the call
-- ARGV
--   1 device key   2 event   3 trail line   4 length of a trail   5 seconds to keep a trail that has no expiry
--   6 start of the round µs   7 now by Stream's clock µs   8 how long a ticket is valid after the round's deadline µs
--   9 most reports of one ticket   10 "1" if the event is a rejection
-- Returns "recorded", "already", "over" if the round is not known any more, "expired", "too_many", or "rejected" if the caller must
-- run take_event.lua. Then the user for whom the device was rung ("" if that is not known). After "rejected", also the round's
-- facts, and the start (µs) of the next ring of the call ("" if there is none).
-- include: lib/rounds
-- include: lib/trail
local round, trail, call, device, event = KEYS[1], KEYS[2], KEYS[3], ARGV[1], ARGV[2]
local start, now = tonumber(ARGV[6]), tonumber(ARGV[7])
local mark = event .. ':' .. device
local facts, user, marked = unpack(redis.call('HMGET', round, 'facts', 'to:' .. device, mark), 1, 3)
user = user or ''
if not facts and redis.call('EXISTS', round) == 0 then return { 'over', user } end
local deadline = facts and tonumber(cjson.decode(facts).deadline)
if deadline and now > deadline + tonumber(ARGV[8]) then return { 'expired', user } end
if redis.call('HINCRBY', round, 'reports:' .. device, 1) > tonumber(ARGV[9]) then return { 'too_many', user } end
if marked then return { 'already', user } end

if ARGV[10] == '1' and user ~= '' and deadline and now < deadline then
  local next_ring = ''
  for _, other in ipairs(rounds_of(redis.call('HGETALL', call))) do  -- the latest first
    if tonumber(other.started_at) > start then next_ring = other.started_at end
  end
  return { 'rejected', user, facts, next_ring }
end
append_to_trail(trail, { ARGV[3] }, ARGV[4], ARGV[5])
redis.call('HSET', round, mark, '1')
return { 'recorded', user }
