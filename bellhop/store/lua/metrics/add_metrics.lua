-- Add what a process has counted to the sums. If this runs again because the answer was lost, nothing changes.
-- KEYS
--   1 the sums   2 the number of the last flush of this process
-- ARGV
--   1 number of this flush   2 seconds to keep that number   3 limit of samples   then for each sample: 4 sample, 5 amount, …
-- Returns "counted" or "already".
if redis.call('GET', KEYS[2]) == ARGV[1] then return 'already' end
redis.call('SET', KEYS[2], ARGV[1], 'EX', ARGV[2])
local full = redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[3])
for i = 4, #ARGV, 2 do
  if full and redis.call('HEXISTS', KEYS[1], ARGV[i]) == 0 then
    redis.call('HINCRBY', KEYS[1], '["bellhop_metrics_dropped_total"]', 1)
  else
    redis.call('HINCRBY', KEYS[1], ARGV[i], ARGV[i + 1])
  end
end
return 'counted'
