-- May a user's devices be fetched from Stream now? Once in a while for each user, and so many a second for all.
-- KEYS: the user was fetched (empty) or is being fetched (by whom), the budget
-- ARGV: fetches a second, how long a fetch may take s, a name of whoever asks
-- Returns "go", again when that answer was lost; "under_way" while another fetches, "lately" or "over".
local fetched = redis.call('GET', KEYS[1])
if fetched then return fetched == ARGV[3] and 'go' or fetched == '' and 'lately' or 'under_way' end
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
