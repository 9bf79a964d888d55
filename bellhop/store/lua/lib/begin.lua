-- include: lib/execution
-- Begin a job that is on the worker's in-flight list.
-- Returns the job's id, when this run of it began, its data, its timeout s, and how many workers died while they ran
-- it.
-- Returns nil if the job must not run, and takes it off the list: it has ended, was cancelled, has expired, was queued
-- twice, or another worker has it. For a job that this worker has begun before, the answer is the same as then; with
-- `fresh` it is nil.
local function begin_job(queue, worker, id, fresh)
  local status, owner, began, data, timeout, lost_workers =
    unpack(job_fields(id, 'status', 'worker_name', 'started_at', 'data', 'timeout', 'lost_workers'), 1, 6)
  local begun = status == 'started' and owner == worker
  if fresh and begun then return nil end
  if status ~= 'queued' and not begun then
    redis.call('LREM', inflight_key(queue, worker), 1, id)
    return nil
  end
  if not begun then began = begin_execution(queue, worker, id) end
  return { id, began or '', data or '', timeout or '', string.match(lost_workers or '', '^%d+$') or '0' }
end
