-- Right after a pop has moved a job onto this worker's in-flight list: begin it, and take and begin more if there are more.
-- ARGV: queue, worker, how many jobs at most
-- Returns what starting.lua says of each; those that are not to be run are left out.
-- include: starting
local queue, worker, most = ARGV[1], ARGV[2], tonumber(ARGV[3])
local list, jobs = inflight_key(queue, worker), {}
local id = redis.call('LINDEX', list, -1)  -- an old one if the pop moved none: then it has begun before
for n = 1, most do
  if n > 1 then id = redis.call('LMOVE', 'rq:queue:' .. queue, list, 'LEFT', 'RIGHT') end
  if not id then break end
  jobs[#jobs + 1] = start_job(queue, worker, id, true)
end
return jobs
