-- Put runs that go on into RQ's registry of started jobs, and write RQ's records of them: RQ's tools read both. Runs that have
-- ended meanwhile are left out.
-- KEYS: lib/queue_keys.lua, one queue; then the jobs
-- ARGV: worker, then for each run: job id, when it began, how many s ago that was, …
-- include: lib/execution
local queue, worker, now_s = queue_at(6), ARGV[1], now_us() / 1e6
for i = 2, #ARGV, 3 do
  local id, began_s = ARGV[i], string.format('%.6f', now_s - tonumber(ARGV[i + 2]))
  local status, owner, since = unpack(job_fields(id, 'status', 'worker_name', 'started_at'), 1, 3)
  if status == 'started' and owner == worker and since == ARGV[i + 1] then
    -- RQ's mark for "never expires". So RQ's maintenance does not touch the job; reap_workers.lua takes over if we die.
    redis.call('ZADD', queue.wip, '+inf', id .. ':' .. worker)
    redis.call('HSET', execution_prefix .. id .. ':' .. worker, 'id', worker, 'created_at', began_s,
      'last_heartbeat', began_s, 'worker_name', worker)
    redis.call('ZADD', executions_prefix .. id, '+inf', worker)
  end
end
