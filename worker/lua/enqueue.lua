-- Put a job into RQ's own data model: the hash that every RQ tool reads, then the id on its queue, or in RQ's registry of
-- jobs for later, from where lua/reap.lua queues it at `at` (unix s).
local function store_job(job, created, status)
  redis.call('HSET', 'rq:job:' .. job.id, 'status', status, 'origin', job.queue, 'data', job.data,
    'description', job.description, 'created_at', created, 'enqueued_at', created,
    'timeout', job.timeout, 'result_ttl', job.result_ttl, 'failure_ttl', job.failure_ttl)
  if job.people then redis.call('HSET', 'rq:job:' .. job.id, 'people', job.people) end
  redis.call('SADD', 'rq:queues', 'rq:queue:' .. job.queue)
end

local function enqueue(job, created)
  store_job(job, created, 'queued')
  redis.call('RPUSH', 'rq:queue:' .. job.queue, job.id)
end

local function schedule(job, created, at)
  store_job(job, created, 'scheduled')
  redis.call('ZADD', 'rq:scheduled:' .. job.queue, at, job.id)
end
