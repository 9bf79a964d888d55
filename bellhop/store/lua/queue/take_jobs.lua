-- Runs right after BLMOVE, which has put a job onto the end of this worker's in-flight list, or has found no job.
-- Begins the job at the end of the list unless it has begun, then moves further jobs to the list and begins them. A
-- suspect does not begin here, and no job is taken behind it. Late jobs are put off once if others wait behind them.
-- KEYS: lib/queue_keys.lua, one queue
-- ARGV: worker, limit of jobs
-- Returns what lib/begin.lua returns for each job; jobs that must not run are left out.
-- include: lib/begin
local queue, worker, most = queue_at(6), ARGV[1], tonumber(ARGV[2])
local list, waiting, scheduled = inflight_key(queue, worker), queue.waiting, queue.scheduled
local id, jobs = redis.call('LINDEX', list, -1), {}
if not id then return jobs end
local now = now_us()
-- How many late jobs are put off at once: each takes some microseconds, and Redis does nothing else meanwhile.
local MAX_LATE = 200
-- How many late jobs a second are queued again.
local LATE_PER_S = 50

local function is_late(status, deadline, put_off)
  return status == 'queued' and deadline and not put_off and as_count(deadline) <= now
end

-- Takes the job at the end of the list. If it is late and others wait, it is scheduled for later, and so are the late
-- jobs at the front of the queue: a job that still has time does not wait until each of them has run.
-- Returns the job that is at the end of the list afterwards. Returns nil if there is none, or if there may be more late jobs
-- at the front of the queue: the next take goes on with them.
local function skip_late_jobs(job)
  if not is_late(job.status, job.deadline, job.put_off) or redis.call('LLEN', waiting) == 0 then return job end
  local late = { job.id }
  for _, behind in ipairs(redis.call('LRANGE', waiting, 0, MAX_LATE - 2)) do
    if not is_late(unpack(job_fields(behind, 'status', 'deadline', 'put_off'), 1, 3)) then break end
    late[#late + 1] = behind
  end
  local before, due = redis.call('ZCARD', scheduled), {}
  for number, late_id in ipairs(late) do
    redis.call('HSET', job_prefix .. late_id, 'status', 'scheduled', 'put_off', '1')
    due[2 * number - 1] = math.ceil(now / 1e6 + (before + number) / LATE_PER_S)
    due[2 * number] = late_id
  end
  redis.call('ZADD', scheduled, unpack(due))
  redis.call('LREM', list, -1, job.id)
  redis.call('LTRIM', waiting, #late - 1, -1)
  local next_id = #late < MAX_LATE and redis.call('LMOVE', waiting, list, 'LEFT', 'RIGHT')
  return next_id and read_job(next_id)
end

for number = 1, most do
  local job = id and skip_late_jobs(read_job(id))
  if not job then break end
  local answer = begin_job(queue, worker, job, now, true, false)
  jobs[#jobs + 1] = answer
  if answer and answer[8] == 0 then break end  -- a suspect: no other job begins until it has run alone
  id = number < most and redis.call('LMOVE', waiting, list, 'LEFT', 'RIGHT')
end
return jobs
