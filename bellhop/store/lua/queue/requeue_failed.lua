-- Queue a failed job again, as it was when it was new. It reads none of the job's fields, so invalid ones do no harm.
-- ARGV: queue, job id, now (ISO 8601)
-- Returns 1, or 0 if the job is not among the queue's failed jobs.
local queue, id, now = ARGV[1], ARGV[2], ARGV[3]
local job = 'rq:job:' .. id
if redis.call('ZREM', 'rq:failed:' .. queue, id) == 0 then return 0 end
redis.call('HDEL', job, 'started_at', 'ended_at', 'worker_name', 'last_heartbeat', 'exc_info', 'lost_workers',
  'suspicions')
redis.call('HSET', job, 'status', 'queued', 'enqueued_at', now)
redis.call('PERSIST', job)  -- a failed job expires
redis.call('SADD', 'rq:queues', 'rq:queue:' .. queue)
redis.call('RPUSH', 'rq:queue:' .. queue, id)
return 1
