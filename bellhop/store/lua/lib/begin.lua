-- include: lib/execution
-- A job with this many suspicions (see lib/execution.lua) is a suspect.
local SUSPECT = 2

local function as_count(text)
  return tonumber(string.match(text or '', '^%d+$') or 0)
end

-- Returns what the scripts here need to know of a job, in a table.
local function read_job(id)
  local status, owner, began, data, timeout, lost_workers, suspicions, deadline, put_off, tenant =
    unpack(job_fields(id, 'status', 'worker_name', 'started_at', 'data', 'timeout', 'lost_workers', 'suspicions',
      'deadline', 'put_off', 'tenant'), 1, 10)
  return {
    id = id, status = status, owner = owner, began = began, data = data, timeout = timeout,
    lost_workers = as_count(lost_workers), suspicions = as_count(suspicions), deadline = deadline, put_off = put_off,
    tenant = tenant or '',
  }
end

-- Begin a job that is on the worker's in-flight list; `job` is what read_job returns for it. A suspect does not begin
-- unless it is to run `alone`.
-- Returns the job's id, when this run of it began, its data, its timeout s, how many workers died while they ran it,
-- how many of these deaths it is suspected of, whether its deadline has passed (1 if it has none), whether it has begun, its
-- tenant, and whether an earlier run of it has begun (or perhaps this one, whose answer was lost). A settle job that follows
-- a failed one has its deaths, and counts as begun.
-- Returns nil if the job must not run, and takes it off the list: it has ended, was cancelled, has expired, was queued
-- twice, or another worker has it. For a job that this worker has begun before, the answer is the same as then; with
-- `fresh` it is nil.
local function begin_job(queue, worker, job, now, fresh, alone)
  local began, begun = job.began, job.status == 'started' and job.owner == worker
  if fresh and begun then return nil end
  if job.status ~= 'queued' and not begun then
    redis.call('LREM', inflight_key(queue, worker), 1, job.id)
    return nil
  end
  if not begun and (alone or job.suspicions < SUSPECT) then
    began, begun = begin_execution(worker, job.id, now, began), true
  end
  local late = as_count(job.deadline) <= now
  return {
    job.id, began or '', job.data or '', job.timeout or '', job.lost_workers, job.suspicions, late and 1 or 0,
    begun and 1 or 0, job.tenant, (job.began or job.lost_workers > 0) and 1 or 0,
  }
end
