-- Queue our jobs again that a worker of another application took from a queue of ours (`rq worker`, for example). None of our
-- code runs there: the job fails, or stays started when that worker dies. Any number of workers may run this at any time.
-- KEYS: lib/queue_keys.lua, one queue; then RQ's list of jobs between queue and start, the names of our workers, the hash of
--       what other workers took
-- ARGV: the queue's name; for how many s after it was queued a job without a deadline is queued again; after how many s a
--       job that has not failed is taken back; how many s a failed job is kept; seconds to keep that hash; then the names
--       of our jobs
-- Returns the names of those workers, each followed by the number of jobs that are queued again.
-- include: lib/job_names
local queue, intermediate, workers, taken_key = queue_at(6), KEYS[15], KEYS[16], KEYS[17]
local now, LIMIT = now_us(), 200
local now_s, keep_s, is_ours = math.floor(now / 1e6), tonumber(ARGV[4]), our_jobs(6)
local function ago(seconds) return iso(now - tonumber(seconds) * 1000000) end
local oldest, not_failed_since = ago(ARGV[2]), ago(ARGV[3])

-- The other worker may record its failure while a worker of ours has the job already.
local function is_running_here(id)
  for _, worker in ipairs(redis.call('SMEMBERS', workers)) do
    if redis.call('LPOS', inflight_key(queue, worker), id) then return true end
  end
  return false
end

local counts = {}
local function take_back(id, worker)
  -- This comes first: if a command after it fails, the job is still where this script finds it. A worker does not begin it twice.
  redis.call('LPUSH', queue.waiting, id)
  for _, execution in ipairs(redis.call('ZRANGE', executions_prefix .. id, 0, -1)) do
    redis.call('ZREM', queue.wip, id .. ':' .. execution)
    redis.call('DEL', execution_prefix .. id .. ':' .. execution)
  end
  redis.call('DEL', executions_prefix .. id)
  redis.call('HDEL', job_prefix .. id, 'started_at', 'ended_at', 'worker_name', 'last_heartbeat', 'exc_info')
  redis.call('HSET', job_prefix .. id, 'status', 'queued')
  redis.call('PERSIST', job_prefix .. id)
  redis.call('ZREM', queue.failed, id)
  redis.call('LREM', intermediate, 0, id)
  counts[worker] = (counts[worker] or 0) + 1
end

local function consider(id, wanted_status, since_field, failed_by)
  local status, since, worker, deadline, queued_at =
    unpack(job_fields(id, 'status', since_field, 'worker_name', 'deadline', 'enqueued_at'), 1, 5)
  local in_time
  if deadline then in_time = (tonumber(deadline) or 0) > now else in_time = (queued_at or '') > oldest end
  if status ~= wanted_status or not in_time then return end
  if not failed_by and (since or '') > not_failed_since then return end
  if is_ours(id) and not is_running_here(id) then take_back(id, failed_by or worker or '') end
end

-- Our workers' runs have the worker's name as id. Of another worker, or of RQ's maintenance, this is not so.
local function other_worker_of(id)
  local last = redis.pcall('XREVRANGE', results_prefix .. id, '+', '-', 'COUNT', 1)
  local fields = {}
  for i = 1, #((last[1] or {})[2] or {}), 2 do fields[last[1][2][i]] = last[1][2][i + 1] end
  return fields.worker_name ~= fields.execution_id and (fields.worker_name or '')
end

-- A job's score is when it expires: these failed lately.
local latest, earliest = now_s + keep_s + 60, now_s + keep_s - tonumber(ARGV[2])
for _, id in ipairs(redis.call('ZREVRANGEBYSCORE', queue.failed, latest, earliest, 'LIMIT', 0, LIMIT)) do
  local worker = other_worker_of(id)
  if worker then consider(id, 'failed', 'ended_at', worker) end
end
-- The runs of our workers never expire for RQ.
for _, run in ipairs(redis.call('ZRANGEBYSCORE', queue.wip, '-inf', '(+inf', 'LIMIT', 0, LIMIT)) do
  consider(string.match(run, '^[^:]*'), 'started', 'started_at')
end
for _, id in ipairs(redis.call('LRANGE', intermediate, 0, LIMIT - 1)) do consider(id, 'queued', 'enqueued_at') end

local answer = {}
for worker, count in pairs(counts) do
  redis.call('HINCRBY', taken_key, ARGV[1] .. ':' .. worker, count)
  redis.call('EXPIRE', taken_key, ARGV[5])
  answer[#answer + 1] = worker
  answer[#answer + 1] = count
end
return answer
