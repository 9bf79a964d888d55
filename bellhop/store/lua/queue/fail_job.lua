-- Record a failure, or queue the job again if RQ's Retry(max=…, interval=…) allows it. Of the job it reads only a few
-- fields of its hash, so it also works for a job whose data cannot be read. If it is run again because its answer was lost, it
-- changes nothing, and returns the same.
-- KEYS: lib/queue_keys.lua, one queue; then the job
-- ARGV: worker, job id, when this run of it began, "failed", "stopped" or "retry" (failed if no retries are
--       left), reason as RQ stores it (deflated, base64), seconds to keep the job if it does not say itself
-- Returns the job's status now; nil if another worker has the job.
-- include: lib/execution
local queue, worker, id, now = queue_at(6), ARGV[1], ARGV[2], now_us()
local job, now_s = job_prefix .. id, now / 1e6
local fields = job_fields(id, 'status', 'retries_left', 'retry_intervals', 'failure_ttl', 'started_at')
-- The status that an earlier try of this script has given it.
local given = fields[5] == ARGV[3] and fields[1] ~= 'started' and fields[1] or nil
-- A job that was queued again may be on this worker's list already, for its next run.
if fields[1] == 'queued' or not end_execution(queue, worker, id, ARGV[3]) then return given end
redis.call('HINCRBY', rq_worker_prefix .. worker, 'failed_job_count', 1)
if not fields[1] then return 'gone' end
-- This run ended by an error, not by the death of its worker: so earlier deaths do not count any more. A job that fails
-- because of the deaths of its workers keeps these numbers.
if ARGV[4] == 'retry' then redis.call('HDEL', job, 'lost_workers', 'suspicions') end

local left = tonumber(fields[2] or 0) or 0
if ARGV[4] == 'retry' and left > 0 then
  local read, intervals = pcall(cjson.decode, fields[3] or '[]')
  if not read or type(intervals) ~= 'table' then intervals = {} end
  local pause = tonumber(intervals[math.max(#intervals - left, 0) + 1] or 0) or 0
  redis.call('HSET', job, 'retries_left', left - 1, 'status', pause > 0 and 'scheduled' or 'queued')
  if pause > 0 then
    redis.call('ZADD', queue.scheduled, math.ceil(now_s + pause), id)
    return 'scheduled'
  end
  redis.call('RPUSH', queue.waiting, id)
  return 'queued'
end

local ttl = tonumber(fields[4] or ARGV[6]) or 0
if ttl <= 0 then ttl = tonumber(ARGV[6]) end
local status, results = ARGV[4] == 'stopped' and 'stopped' or 'failed', results_prefix .. id
redis.call('HSET', job, 'status', status, 'ended_at', iso(now))
redis.call('EXPIRE', job, ttl)
redis.call('ZADD', queue.failed, math.ceil(now_s + ttl), id)
-- 2 is FAILED in rq.results.
redis.call('XADD', results, 'MAXLEN', 10, '*', 'type', 2, 'worker_name', worker, 'exc_string', ARGV[5],
  'execution_id', worker, 'execution_ended_at', string.format('%.6f', now_s))
redis.call('EXPIRE', results, ttl)
return status
