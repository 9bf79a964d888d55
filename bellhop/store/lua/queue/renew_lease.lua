-- Renew a worker's lease, and the registration that `rq info` and dashboards read.
-- ARGV: worker, lease ms, longest pause between renewals ms, ttl of RQ's registration s,
-- queues separated by commas, then fields and values of RQ's worker hash
-- Returns whether the lease had ended (or is new), and whether `rq suspend` is in force.
local worker, lease = ARGV[1], 'bellhop:worker:' .. ARGV[1]
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)

-- After a silence of all workers (Redis paused, restarted, failed over; no worker running) every lease looks ended at
-- once. From the end of the silence on, living workers have the length of a lease to renew before reap_workers.lua
-- presumes any dead.
local seen = tonumber(redis.call('GET', 'bellhop:workers:seen') or 0)
if math.abs(now_ms - seen) > tonumber(ARGV[3]) or redis.call('EXISTS', 'bellhop:workers:calm_since') == 0 then
  redis.call('SET', 'bellhop:workers:calm_since', now_ms)
end
redis.call('SET', 'bellhop:workers:seen', now_ms)

local exists = redis.call('EXISTS', lease)
redis.call('SET', lease, now_ms, 'PX', ARGV[2])
redis.call('SADD', 'bellhop:workers', worker)
local rq_worker = 'rq:worker:' .. worker
redis.call('HSET', rq_worker, 'renewed_ms', now_ms, unpack(ARGV, 6))
redis.call('EXPIRE', rq_worker, ARGV[4])
redis.call('SADD', 'rq:workers', rq_worker)
for queue in string.gmatch(ARGV[5], '[^,]+') do
  redis.call('SADD', 'rq:queues', 'rq:queue:' .. queue)
  redis.call('SADD', 'rq:workers:' .. queue, rq_worker)
end
return { 1 - exists, redis.call('EXISTS', 'rq:suspended') }
