-- Decide whether a worker may tell Stream now that a user rejected a ring. It runs before every request. One run at a time has the
-- claim. If another run left a claim, its worker died, and Stream may know of the rejection already.
-- KEYS
--   1 the call   2 the round   3 traces of forgotten rounds   4 start of the rounds' keys
-- ARGV
--   1 user   2 start of the round µs   3 now by Stream's clock µs   4 worker   5 run
--   6 length of the claim µs
-- Returns "go"; "again" if another run left a claim; "held" while another run has it; "done"; "gone" if the round is not known any
-- more; "too_late"; "rung_again" if a later ring of the call rings the user; or the user's standing, if the ring ended by anything
-- but the rejection.
-- include: lib/claim
-- include: lib/standing
local call, round, user, start, now = KEYS[1], KEYS[2], ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local worker, run = ARGV[4], ARGV[5]
local REJECTED = { declined = true, busy = true }

local field = 'rejected:' .. user
local text, claim = unpack(redis.call('HMGET', round, 'facts', field), 1, 2)
if not text then return 'gone' end
if claim == 'done' then return 'done' end
local ours = is_claim_of(claim, worker, run)
local till = claim and not ours and tonumber(string.match(claim, '|(%d+)$'))
if till and till > now then return 'held' end

local facts = cjson.decode(text)
if now >= facts.deadline then return 'too_late' end
local the_round = {
  start = start, session = facts.session_id, callers = facts.callers, deadline = facts.deadline, traces = KEYS[3],
}
local reasons, rung_later = standings(call, the_round, { user }, KEYS[4])
if reasons[1] and not REJECTED[reasons[1]] then return reasons[1] end
if rung_later()[user] then return 'rung_again' end
redis.call('HSET', round, field, new_claim(worker, run, now + tonumber(ARGV[6])))
return claim and not ours and 'again' or 'go'
