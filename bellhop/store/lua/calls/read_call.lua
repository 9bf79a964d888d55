-- Read a call and all of its rounds, with Redis's clock.
-- KEYS
--   1 the call   2 the clock of its Stream app
-- ARGV
--   1 start of the rounds' keys
-- Returns unix µs, the call's fields and values, for each round its start and its fields and values, and how far Redis's clock
-- is ahead of Stream's µs.
-- include: lib/clock
-- include: lib/rounds
-- include: lib/stream_clock
local call = redis.call('HGETALL', KEYS[1])
local rounds = {}
for _, round in ipairs(rounds_of(call)) do
  rounds[#rounds + 1] = { round.started_at, redis.call('HGETALL', ARGV[1] .. round.started_at) }
end
return { string.format('%.0f', now_us()), call, rounds, string.format('%.0f', redis_ahead_us(KEYS[2])) }
