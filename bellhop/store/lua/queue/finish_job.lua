-- Mark a job finished. Repeated because an answer was lost, it changes nothing.
-- ARGV: queue, worker, job id, when this run of it began, seconds to keep it
-- Returns 1, or 0 when the job is not this worker's (any more).
-- include: lib/execution
local queue, worker, id, ttl = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[5])
local job, now = 'rq:job:' .. id, now_us()
if not end_execution(queue, worker, id, ARGV[4]) then
  -- Given back while this worker seemed dead. Unless somebody began it again, the work is done all the same.
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
