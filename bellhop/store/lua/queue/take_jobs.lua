-- Runs right after BLMOVE, which has put a job onto the end of this worker's in-flight list, or has found no job.
-- Begins the job at the end of the list unless it has begun, then moves further jobs to the list and begins them. A
-- suspect does not begin here, and no job is taken behind it. Late jobs are put off once if others wait behind them.
-- If several tenants have jobs, every second job is from a tenant's list (lib/turns.lua). The queue keeps a job while one of
-- these lists has any, since BLMOVE waits for the queue alone.
-- KEYS: lib/queue_keys.lua, one queue
-- ARGV: worker, limit of jobs, "turns" if jobs of several tenants may wait, then the tenants whose jobs go back to their list
-- Returns what lib/begin.lua returns for each job; jobs that must not run are left out.
-- include: lib/begin
-- include: lib/turns
local queue, worker, most = queue_at(6), ARGV[1], tonumber(ARGV[2])
local list, waiting, scheduled = inflight_key(queue, worker), queue.waiting, queue.scheduled
local id, jobs = redis.call('LINDEX', list, -1), {}
if not id and ARGV[3] ~= 'turns' then return jobs end
local now = now_us()
-- `source` is the list from which the job at the end of this worker's list comes.
local source, goes_back, move_in_turn, tenants_wait = waiting, {}, nil, false
if ARGV[3] == 'turns' then
  for i = 4, #ARGV do goes_back[ARGV[i]] = true end
  move_in_turn, tenants_wait = turns_of(queue, goes_back, now)
end
if not id and tenants_wait then id, source = move_in_turn(list) end
if not id then return jobs end
-- How many late jobs are put off at once: each takes some microseconds, and Redis does nothing else meanwhile.
local MAX_LATE = 200
-- How many late jobs a second are queued again.
local LATE_PER_S = 50

-- How many jobs one take puts back into their tenants' lists. After these, it begins jobs of any tenant.
local MAX_BACK = 32

-- Moves the next job to this worker's list, and sets `source`. Returns the job; nil if there is none.
local from_tenant = false
local function take_next()
  from_tenant = tenants_wait and not from_tenant
  local next_id
  if from_tenant then next_id, source = move_in_turn(list) end
  if not next_id then next_id, source = redis.call('LMOVE', waiting, list, 'LEFT', 'RIGHT'), waiting end
  if not next_id and tenants_wait then next_id, source = move_in_turn(list) end
  return next_id and read_job(next_id)
end

local function is_late(status, deadline, put_off)
  return status == 'queued' and deadline and not put_off and as_count(deadline) <= now
end

-- `job` is at the end of the list. If it is late and others wait, it is scheduled for later, and so are the late jobs at the front
-- of its source: a job that still has time does not wait until each of them has run.
-- Returns the job that is at the end of the list afterwards. Returns nil if there is none, or if there may be more late jobs at the
-- front of the source: the next take goes on with them.
local function skip_late_jobs(job)
  local left = MAX_LATE
  while job and is_late(job.status, job.deadline, job.put_off) do
    if redis.call('LLEN', waiting) == 0 and not tenants_wait then return job end
    local late = { job.id }
    for _, behind in ipairs(redis.call('LRANGE', source, 0, left - 2)) do
      if not is_late(unpack(job_fields(behind, 'status', 'deadline', 'put_off'), 1, 3)) then break end
      late[#late + 1] = behind
    end
    local before, due = redis.call('ZCARD', scheduled), {}
    for number, late_id in ipairs(late) do
      due[2 * number - 1] = math.ceil(now / 1e6 + (before + number) / LATE_PER_S)
      due[2 * number] = late_id
    end
    -- This comes first: a job that does not wait any more must be in the set of scheduled jobs.
    redis.call('ZADD', scheduled, unpack(due))
    for _, late_id in ipairs(late) do redis.call('HSET', job_prefix .. late_id, 'status', 'scheduled', 'put_off', '1') end
    redis.call('LREM', list, -1, job.id)
    redis.call('LTRIM', source, #late - 1, -1)
    left = left - #late
    if left < 2 then return nil end
    job = take_next()
  end
  return job
end

-- `job` is at the end of the list. If its tenant has its share of this worker, the job goes back to the front of the tenant's list,
-- and the next one is taken. Returns the job that is at the end of the list afterwards.
local back = 0
local function put_back(job)
  while job and job.status == 'queued' and goes_back[job.tenant] and back < MAX_BACK do
    back = back + 1
    redis.call('ZADD', queue.turns, 'NX', string.format('%.0f', now), job.tenant)
    redis.call('LMOVE', list, queue.of_tenant .. job.tenant, 'RIGHT', 'LEFT')
    job = skip_late_jobs(take_next())
  end
  return job
end

local job = read_job(id)
for number = 1, most do
  job = put_back(skip_late_jobs(job))
  if not job then break end
  local answer = begin_job(queue, worker, job, now, true, false)
  jobs[#jobs + 1] = answer
  if answer and answer[8] == 0 then break end  -- a suspect: no other job begins until it has run alone
  if number == most then break end
  job = take_next()
end
if tenants_wait and redis.call('EXISTS', waiting) == 0 then move_in_turn(waiting) end
return jobs
