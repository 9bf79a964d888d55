-- Renew a worker's lease, and the registration that `rq info` and dashboards read.
-- KEYS: lib/worker_keys.lua, the worker's queues
-- ARGV: worker, lease ms, longest pause between renewals ms, ttl of RQ's registration s,
-- then fields and values of RQ's worker hash
-- Returns whether the lease had ended (or is new), and whether `rq suspend` is in force.
-- include: lib/worker_keys
local worker, lease = ARGV[1], lease_prefix .. ARGV[1]
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)

-- After a silence of all workers (Redis paused, restarted, failed over; no worker running) every lease looks ended at
-- once. From the end of the silence on, living workers have the length of a lease to renew before reap_workers.lua
-- presumes any dead.
local seen = tonumber(redis.call('GET', seen_key) or 0)
if math.abs(now_ms - seen) > tonumber(ARGV[3]) or redis.call('EXISTS', calm_since_key) == 0 then
  redis.call('SET', calm_since_key, now_ms)
end
redis.call('SET', seen_key, now_ms)

local exists = redis.call('EXISTS', lease)
redis.call('SET', lease, now_ms, 'PX', ARGV[2])
redis.call('SADD', workers_key, worker)
local rq_worker = rq_worker_prefix .. worker
redis.call('HSET', rq_worker, 'renewed_ms', now_ms, unpack(ARGV, 5))
redis.call('EXPIRE', rq_worker, ARGV[4])
redis.call('SADD', rq_workers, rq_worker)
for _, queue in ipairs(queues) do
  redis.call('SADD', rq_queues, queue.waiting)
  redis.call('SADD', queue.workers, rq_worker)
end
return { 1 - exists, redis.call('EXISTS', rq_suspended) }
