-- Runs right after BLMOVE, which has put a job onto the end of this worker's in-flight list, or has found no job.
-- Begins the job at the end of the list unless it has begun, then moves further jobs to the list and begins them.
-- KEYS: lib/queue_keys.lua, one queue
-- ARGV: worker, limit of jobs
-- Returns what lib/begin.lua returns for each job; jobs that must not run are left out.
-- include: lib/begin
local queue, worker, most = queue_at(6), ARGV[1], tonumber(ARGV[2])
local list, jobs = inflight_key(queue, worker), {}
local id = redis.call('LINDEX', list, -1)
for number = 1, most do
  if not id then break end
  local job = begin_job(queue, worker, id, true)
  jobs[#jobs + 1] = job
  -- This job has killed a worker. If it kills this one too, the jobs that were begun with it would count as killers as
  -- well.
  if job and job[5] ~= '0' then break end
  id = number < most and redis.call('LMOVE', queue.waiting, list, 'LEFT', 'RIGHT')
end
return jobs
