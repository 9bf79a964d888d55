-- Begin a job that was popped onto this worker's in-flight list. Repeated because an answer was lost, it answers the same.
-- ARGV: queue, worker, job id, now (ISO 8601), now (unix s)
-- Returns data, timeout s and how many workers died with it; nil when it is not to be run (and is then off the list):
-- ended, cancelled, expired, queued twice, or meanwhile given to another worker.
-- include: execution
local queue, worker, id = ARGV[1], ARGV[2], ARGV[3]
if not redis.call('LPOS', inflight_key(queue, worker), id) then return nil end
local job = job_fields(id, 'status', 'worker_name', 'data', 'timeout', 'lost_workers')
local status, owner = job[1], job[2]
if status ~= 'queued' and not (status == 'started' and owner == worker) then
  redis.call('LREM', inflight_key(queue, worker), 1, id)
  return nil
end
begin_execution(queue, worker, id, ARGV[4], ARGV[5])
return { job[3] or '', job[4] or '', job[5] or '0' }
