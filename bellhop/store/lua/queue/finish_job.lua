-- Mark a job finished. If it is run again because its answer was lost, it changes nothing, and returns the same.
-- KEYS: lib/queue_keys.lua, one queue; then the job
-- ARGV: worker, job id, when this run of it began, seconds to keep it, now by Redis's clock as RQ writes it, when the job
--       leaves the registry of finished jobs (unix s), "shown" if show_runs.lua has shown this run
-- Returns 1, or 0 if another worker has the job.
-- include: lib/execution
local queue, worker, id, now = queue_at(6), ARGV[1], ARGV[2], ARGV[5]
local job = job_prefix .. id
local ended, began = end_execution(queue, worker, id, ARGV[3], ARGV[7] ~= 'shown')
if not ended then
  local status, since = unpack(job_fields(id, 'status', 'started_at'), 1, 2)
  if status == 'finished' and since == ARGV[3] then return 1 end
  -- The job was given back while this worker was presumed dead. If it has not begun again since, this run counts.
  if status ~= 'queued' then return 0 end
  if redis.call('LREM', queue.waiting, 1, id) == 0 then return 0 end
  began = ARGV[3]
end
if began then
  -- The worker knows Redis's clock to about a millisecond.
  redis.call('HSET', job, 'status', 'finished', 'ended_at', now > began and now or began)
  redis.call('EXPIRE', job, ARGV[4])
  redis.call('ZADD', queue.finished, ARGV[6], id)
end
return 1
