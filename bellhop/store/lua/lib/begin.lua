-- include: lib/execution
-- A job with this many suspicions (see lib/execution.lua) is a suspect.
local SUSPECT = 2

local function as_count(text)
  return tonumber(string.match(text or '', '^%d+$') or 0)
end

-- Begin a job that is on the worker's in-flight list. A suspect does not begin unless it is to run `alone`.
-- Returns the job's id, when this run of it began, its data, its timeout s, how many workers died while they ran it,
-- how many of these deaths it is suspected of, whether its deadline has passed (1 if it has none), and whether it has
-- begun.
-- Returns nil if the job must not run, and takes it off the list: it has ended, was cancelled, has expired, was queued
-- twice, or another worker has it. For a job that this worker has begun before, the answer is the same as then; with
-- `fresh` it is nil.
local function begin_job(queue, worker, id, fresh, alone)
  local status, owner, began, data, timeout, lost_workers, suspicions, deadline =
    unpack(job_fields(id, 'status', 'worker_name', 'started_at', 'data', 'timeout', 'lost_workers', 'suspicions',
      'deadline'), 1, 8)
  local begun = status == 'started' and owner == worker
  if fresh and begun then return nil end
  if status ~= 'queued' and not begun then
    redis.call('LREM', inflight_key(queue, worker), 1, id)
    return nil
  end
  suspicions = as_count(suspicions)
  if not begun and (alone or suspicions < SUSPECT) then
    began, begun = begin_execution(queue, worker, id), true
  end
  local late = as_count(deadline) <= now_us()
  return {
    id, began or '', data or '', timeout or '', as_count(lost_workers), suspicions, late and 1 or 0, begun and 1 or 0,
  }
end
