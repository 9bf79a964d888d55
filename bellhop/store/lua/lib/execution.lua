-- include: lib/clock
-- include: lib/queue_keys
-- One run of a job, in RQ's own keys. Its id is the name of the worker that runs it, so after the worker's death other
-- workers can remove it. A worker owns the jobs whose ids are on its in-flight list, and no others.
-- show_runs.lua puts the runs that take long into RQ's registry of started jobs, and writes RQ's records of them.
local function inflight_key(queue, worker)
  return queue.inflight .. worker
end

-- Returns some fields of a job's hash; none if the key holds something else.
local function job_fields(id, ...)
  local fields = redis.pcall('HMGET', job_prefix .. id, ...)
  return fields.err and {} or fields
end

-- Returns when the run began. The run's end must name this time, since the same job may have had other runs. `may_expire`:
-- the job had other runs, or RQ wrote it: it may have an expiry.
local function begin_execution(worker, id, now, may_expire)
  local now_iso = iso(now)
  redis.call('HSET', job_prefix .. id, 'status', 'started', 'worker_name', worker, 'started_at', now_iso,
    'last_heartbeat', now_iso)
  if may_expire then redis.call('PERSIST', job_prefix .. id) end
  return now_iso
end

-- Take a run out of RQ's registry of started jobs, and remove RQ's records of it.
local function hide_run(queue, worker, id)
  redis.call('ZREM', queue.wip, id .. ':' .. worker)
  redis.call('DEL', execution_prefix .. id .. ':' .. worker, executions_prefix .. id)
end

-- `hidden`: show_runs.lua has not shown the run.
-- Returns whether the worker had the job, in the run that began at this time; and when the job began, if its hash exists.
local function end_execution(queue, worker, id, began, hidden)
  local since = job_fields(id, 'started_at')[1]
  if since and since ~= began then return false end
  if redis.call('LREM', inflight_key(queue, worker), -1, id) == 0 then return false end
  if not hidden then hide_run(queue, worker, id) end
  return true, since
end

-- Put a worker's job back at the front of its queue. A job that has ended or expired is only taken off the list.
-- `count_death(id, began)`: if the worker died. It returns how many seconds the job must wait.
-- Returns 1 if the job will run again, else 0.
local function hand_back(queue, worker, id, count_death)
  local job, pause = job_prefix .. id, 0
  local status, owner, began = unpack(job_fields(id, 'status', 'worker_name', 'started_at'), 1, 3)
  local runs_again = status == 'queued' or status == 'started' and owner == worker
  if runs_again then
    -- A job that had not begun cannot have killed the worker.
    if count_death and status == 'started' then pause = count_death(id, began or '') end
    if pause > 0 then
      redis.call('ZADD', queue.scheduled, math.ceil(now_us() / 1e6 + pause), id)
    else
      redis.call('LPUSH', queue.waiting, id)
    end
    redis.call('HSET', job, 'status', pause > 0 and 'scheduled' or 'queued')
  end
  -- It leaves the list last: if a command before it fails, the job is on the list, and is given back again.
  hide_run(queue, worker, id)
  redis.call('LREM', inflight_key(queue, worker), -1, id)
  return runs_again and 1 or 0
end
