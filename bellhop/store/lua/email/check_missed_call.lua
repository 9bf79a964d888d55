-- Decide whether an e-mail is due for a user who missed a call.
-- KEYS
--   1 the call   2 the round   3 traces of forgotten rounds   4 start of the rounds' keys
-- ARGV
--   1 user   2 start of the round µs   3 session   4 callers as JSON   5 deadline of the round µs
-- Returns "due", "already" (the call is in an e-mail), or why no e-mail is due.
-- include: lib/standing
local user = ARGV[1]
local the_round = {
  start = tonumber(ARGV[2]), session = ARGV[3], callers = cjson.decode(ARGV[4]), deadline = tonumber(ARGV[5]), over = true,
  traces = KEYS[3],
}
local reasons, rung_later = standings(KEYS[1], the_round, { user }, KEYS[4])
if needs_no_notice[reasons[1]] then return reasons[1] end
if rung_later()[user] then return 'rung_again' end
return redis.call('HEXISTS', KEYS[2], 'e:' .. user) == 1 and 'already' or 'due'
