-- Read the standing of a user in a round that is over.
-- KEYS
--   1 the call   2 traces of forgotten rounds   3 start of the rounds' keys
-- ARGV
--   1 user   2 start of the round µs   3 session   4 callers as JSON   5 deadline of the round µs
-- Returns the standing; "" if the call is not known any more.
-- include: lib/standing
local the_round = {
  start = tonumber(ARGV[2]), session = ARGV[3], callers = cjson.decode(ARGV[4]), deadline = tonumber(ARGV[5]), over = true,
  traces = KEYS[2],
}
return standings(KEYS[1], the_round, { ARGV[1] }, KEYS[3])[1] or ''
