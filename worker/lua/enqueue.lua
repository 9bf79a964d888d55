-- Put a job into RQ's own data model: the hash that every RQ tool reads, then the id on its queue.
local function enqueue(job, created)
  redis.call('HSET', 'rq:job:' .. job.id, 'status', 'queued', 'origin', job.queue, 'data', job.data,
    'description', job.description, 'created_at', created, 'enqueued_at', created,
    'timeout', job.timeout, 'result_ttl', job.result_ttl, 'failure_ttl', job.failure_ttl)
  redis.call('SADD', 'rq:queues', 'rq:queue:' .. job.queue)
  redis.call('RPUSH', 'rq:queue:' .. job.queue, job.id)
end
