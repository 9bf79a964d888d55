-- Mark a job finished. Repeated because an answer was lost, it changes nothing.
-- ARGV: queue, worker, job id, now (ISO 8601), now (unix s), seconds to keep it
-- Returns 1, or 0 when the job is not this worker's (any more).
-- include: execution
local queue, worker, id, ttl = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[6])
local job = 'rq:job:' .. id
if not end_execution(queue, worker, id) then
  -- Given back while this worker seemed dead. Unless somebody began it again, the work is done all the same.
  if redis.call('HGET', job, 'status') ~= 'queued' then return 0 end
  if redis.call('LREM', 'rq:queue:' .. queue, 1, id) == 0 then return 0 end
end
if redis.call('EXISTS', job) == 1 then
  redis.call('HSET', job, 'status', 'finished', 'ended_at', ARGV[4])
  redis.call('EXPIRE', job, ttl)
  redis.call('ZADD', 'rq:finished:' .. queue, ARGV[5] + ttl, id)
end
redis.call('HINCRBY', 'rq:worker:' .. worker, 'successful_job_count', 1)
return 1
