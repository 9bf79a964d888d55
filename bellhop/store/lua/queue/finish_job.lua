-- Mark a job finished. If it is run again because its answer was lost, it changes nothing.
-- ARGV: queue, worker, job id, when this run of it began, seconds to keep it
-- Returns 1, or 0 if another worker has the job.
-- include: lib/execution
local queue, worker, id, ttl = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[5])
local job, now = 'rq:job:' .. id, now_us()
if not end_execution(queue, worker, id, ARGV[4]) then
  -- The job was given back while this worker was presumed dead. If it has not begun again since, this run counts.
  if redis.call('HGET', job, 'status') ~= 'queued' then return 0 end
  if redis.call('LREM', 'rq:queue:' .. queue, 1, id) == 0 then return 0 end
end
if redis.call('EXISTS', job) == 1 then
  redis.call('HSET', job, 'status', 'finished', 'ended_at', iso(now))
  redis.call('EXPIRE', job, ttl)
  redis.call('ZADD', 'rq:finished:' .. queue, string.format('%.6f', now / 1e6 + ttl), id)
end
redis.call('HINCRBY', 'rq:worker:' .. worker, 'successful_job_count', 1)
return 1
