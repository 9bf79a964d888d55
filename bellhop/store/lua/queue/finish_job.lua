-- Mark a job finished. If it is run again because its answer was lost, it changes nothing.
-- KEYS: lib/queue_keys.lua, one queue
-- ARGV: worker, job id, when this run of it began, seconds to keep it
-- Returns 1, or 0 if another worker has the job.
-- include: lib/execution
local queue, worker, id, ttl = queue_at(6), ARGV[1], ARGV[2], tonumber(ARGV[4])
local job, now = job_prefix .. id, now_us()
if not end_execution(queue, worker, id, ARGV[3]) then
  -- The job was given back while this worker was presumed dead. If it has not begun again since, this run counts.
  if redis.call('HGET', job, 'status') ~= 'queued' then return 0 end
  if redis.call('LREM', queue.waiting, 1, id) == 0 then return 0 end
end
if redis.call('EXISTS', job) == 1 then
  redis.call('HSET', job, 'status', 'finished', 'ended_at', iso(now))
  redis.call('EXPIRE', job, ttl)
  redis.call('ZADD', queue.finished, string.format('%.6f', now / 1e6 + ttl), id)
end
redis.call('HINCRBY', rq_worker_prefix .. worker, 'successful_job_count', 1)
return 1
