-- Runs right after BLMOVE, which has put a job onto the end of this worker's in-flight list, or has found no job.
-- Begins the job at the end of the list unless it has begun, then moves further jobs to the list and begins them. A
-- suspect does not begin here, and no job is taken behind it.
-- KEYS: lib/queue_keys.lua, one queue
-- ARGV: worker, limit of jobs
-- Returns what lib/begin.lua returns for each job; jobs that must not run are left out.
-- include: lib/begin
local queue, worker, most = queue_at(6), ARGV[1], tonumber(ARGV[2])
local list, jobs = inflight_key(queue, worker), {}
local id = redis.call('LINDEX', list, -1)
for number = 1, most do
  if not id then break end
  local job = begin_job(queue, worker, id, true, false)
  jobs[#jobs + 1] = job
  if job and job[8] == 0 then break end  -- a suspect: no other job begins until it has run alone
  id = number < most and redis.call('LMOVE', queue.waiting, list, 'LEFT', 'RIGHT')
end
return jobs
