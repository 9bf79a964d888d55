-- Begin a job that is on this worker's in-flight list. Repeated because an answer was lost, it answers the same.
-- ARGV: queue, worker, job id
-- Returns what begin.lua says of it; nil when it is not to be run.
-- include: lib/begin
local queue, worker, id = ARGV[1], ARGV[2], ARGV[3]
return redis.call('LPOS', inflight_key(queue, worker), id) and begin_job(queue, worker, id, false)
