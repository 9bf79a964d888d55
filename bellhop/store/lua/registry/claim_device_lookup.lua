-- Claim the lookup of a user's devices at Stream: once in a while for each user, within a budget for all users.
-- KEYS
--   1 the user's lookup: the run that has the claim, or "" if the user was looked up lately   2 the budget
-- ARGV
--   1 lookups in a second   2 how long the claim holds s   3 run
-- Returns "go", also if the same run repeats it; "under_way" while another run has the claim; "lately"; "over" if the
-- budget is spent.
local lookup = redis.call('GET', KEYS[1])
if lookup then return lookup == ARGV[3] and 'go' or lookup == '' and 'lately' or 'under_way' end
local rate = tonumber(ARGV[1])
local most = math.max(1, rate)
local time = redis.call('TIME')
local now = time[1] + time[2] / 1e6
local budget = redis.call('HMGET', KEYS[2], 'left', 'at')
local left = budget[1] and math.min(most, budget[1] + math.max(0, now - budget[2]) * rate) or most
if left < 1 then return 'over' end
redis.call('HSET', KEYS[2], 'left', string.format('%.6f', left - 1), 'at', string.format('%.6f', now))
redis.call('EXPIRE', KEYS[2], math.ceil(most / rate) + 1)
redis.call('SET', KEYS[1], ARGV[3], 'EX', ARGV[2])
return 'go'
