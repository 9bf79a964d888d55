-- Right after BLMOVE has put a job onto the end of this worker's in-flight list, or waited in vain: begin what is there and has
-- not begun, and take and begin more if there are more.
-- ARGV: queue, worker, how many jobs at most
-- Returns what begin.lua says of each; those that are not to be run are left out.
-- include: lib/begin
local queue, worker, most = ARGV[1], ARGV[2], tonumber(ARGV[3])
local list, jobs = inflight_key(queue, worker), {}
local id = redis.call('LINDEX', list, -1)
for number = 1, most do
  if not id then break end
  local job = begin_job(queue, worker, id, true)
  jobs[#jobs + 1] = job
  if job and job[5] ~= '0' then break end  -- workers died with it: if the next one does, let no others count as begun
  id = number < most and redis.call('LMOVE', 'rq:queue:' .. queue, list, 'LEFT', 'RIGHT')
end
return jobs
