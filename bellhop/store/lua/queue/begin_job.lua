-- Begin a job that is on this worker's in-flight list. If it is run again because its answer was lost, it returns the
-- same.
-- KEYS: lib/queue_keys.lua, one queue; then the job
-- ARGV: worker, job id, "alone" if a suspect may begin
-- Returns what lib/begin.lua returns for it; nil if it must not run.
-- include: lib/begin
local queue, worker, id = queue_at(6), ARGV[1], ARGV[2]
return redis.call('LPOS', inflight_key(queue, worker), id)
  and begin_job(queue, worker, read_job(id), now_us(), false, ARGV[3] == 'alone')
