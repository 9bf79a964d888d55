-- Read a call and all of its rounds, with Redis's clock.
-- KEYS
--   1 the call
-- ARGV
--   1 start of the rounds' keys
-- Returns unix µs, the call's fields and values, and for each round its start and its fields and values.
-- include: lib/clock
-- include: lib/rounds
local call = redis.call('HGETALL', KEYS[1])
local rounds = {}
for _, round in ipairs(rounds_of(call)) do
  rounds[#rounds + 1] = { round.started_at, redis.call('HGETALL', ARGV[1] .. round.started_at) }
end
return { string.format('%.0f', now_us()), call, rounds }
