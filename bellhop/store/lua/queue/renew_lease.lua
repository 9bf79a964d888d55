-- A worker's sign of life: its lease, and the registration that `rq info` and dashboards read.
-- ARGV: worker, lease ms, longest pause between beats ms, ttl of RQ's registration s,
--       queues separated by commas, then fields and values of RQ's worker hash
-- Returns whether the lease had lapsed (or is new), and whether `rq suspend` is in force.
local worker, lease = ARGV[1], 'bellhop:worker:' .. ARGV[1]
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)

-- After a silence of everybody (Redis paused, restarted, failed over; nobody running) every lease looks dead at once.
-- From its end on, the living get the length of a lease to beat again before anybody is reaped.
local seen = tonumber(redis.call('GET', 'bellhop:workers:seen') or 0)
if math.abs(now_ms - seen) > tonumber(ARGV[3]) or redis.call('EXISTS', 'bellhop:workers:calm_since') == 0 then
  redis.call('SET', 'bellhop:workers:calm_since', now_ms)
end
redis.call('SET', 'bellhop:workers:seen', now_ms)

local held = redis.call('EXISTS', lease)
redis.call('SET', lease, now_ms, 'PX', ARGV[2])
redis.call('SADD', 'bellhop:workers', worker)
local rq_worker = 'rq:worker:' .. worker
redis.call('HSET', rq_worker, unpack(ARGV, 6))
redis.call('EXPIRE', rq_worker, ARGV[4])
redis.call('SADD', 'rq:workers', rq_worker)
for queue in string.gmatch(ARGV[5], '[^,]+') do
  redis.call('SADD', 'rq:queues', 'rq:queue:' .. queue)
  redis.call('SADD', 'rq:workers:' .. queue, rq_worker)
end
return { 1 - held, redis.call('EXISTS', 'rq:suspended') }
