-- Claim the lookup of a user's devices at Stream: once in a while for each user, within a budget for all users.
-- KEYS
--   1 the user's lookup: the run that has the claim, or "" if the user was looked up lately   2 the budget
-- ARGV
--   1 lookups in a second   2 how long the claim holds s   3 run
-- Returns "go", also if the same run repeats it; "under_way" while another run has the claim; "lately"; "over" if the
-- budget is spent.
-- include: lib/budget
local lookup = redis.call('GET', KEYS[1])
if lookup then return lookup == ARGV[3] and 'go' or lookup == '' and 'lately' or 'under_way' end
if not spend(KEYS[2], tonumber(ARGV[1])) then return 'over' end
redis.call('SET', KEYS[1], ARGV[3], 'EX', ARGV[2])
return 'go'
