-- Queue a failed job again, as it was when it was new. It reads none of the job's fields, so invalid ones do no harm.
-- KEYS: lib/queue_keys.lua, one queue; then the set of all queues, and the job
-- ARGV: job id, now (ISO 8601)
-- include: lib/queue_keys
-- Returns 1, or 0 if the job is not among the queue's failed jobs.
local queue, id, now = queue_at(6), ARGV[1], ARGV[2]
local job = job_prefix .. id
if redis.call('ZREM', queue.failed, id) == 0 then return 0 end
redis.call('HDEL', job, 'started_at', 'ended_at', 'worker_name', 'last_heartbeat', 'exc_info', 'lost_workers',
  'suspicions', 'put_off')
redis.call('HSET', job, 'status', 'queued', 'enqueued_at', now)
redis.call('PERSIST', job)  -- a failed job expires
redis.call('SADD', KEYS[15], queue.waiting)
redis.call('RPUSH', queue.waiting, id)
return 1
