-- Add what a process has counted to the sums. Repeated because an answer was lost, it changes nothing.
-- KEYS: sums, the number of this process's last flush
-- ARGV: number of this flush, ttl of that number s, most samples, then sample, amount, …
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
