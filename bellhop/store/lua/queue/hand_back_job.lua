-- Put an unfinished job back at the front of its queue.
-- KEYS: lib/queue_keys.lua, one queue; then the job
-- ARGV: worker, job id, when this run of it began
-- Returns 1, or 0 if another worker has the job, or another run.
-- include: lib/execution
local queue, worker, id = queue_at(6), ARGV[1], ARGV[2]
if not redis.call('LPOS', inflight_key(queue, worker), id) then return 0 end
local since = job_fields(id, 'started_at')[1]
if since and since ~= ARGV[3] then return 0 end
return hand_back(queue, worker, id, nil)
