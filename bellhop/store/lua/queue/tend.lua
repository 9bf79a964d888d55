-- Renew a worker's lease in a partition, and see what the worker must look after there. Each worker runs this twice a second,
-- also when there is nothing to do: what need not be done each time is not done here each time. The worker whose turn it is also
-- learns what is due in the partition. The scripts that do it look again by themselves.
-- KEYS: lib/worker_keys.lua, then the worker's queues by old names, the other queues that it serves, those that only other workers
--       serve; then RQ's list of jobs between queue and start, of each queue by its name now
-- ARGV: worker, its pid namespace ("" if it is not known), its pid, lease ms, longest pause between renewals ms, how long a turn
--       lasts ms, ttl of RQ's registration s (0 if it is not due), number of old names, number of queues served by their names
--       now, number of the others, "turns" if jobs of several tenants may wait, how many s a failed job is kept, for how many s
--       after that a failed job is due, "waiting" if the worker must know which queues have jobs, then fields and values of
--       RQ's worker hash
-- Returns whether the lease had ended (or is new), whether `rq suspend` is in force, whether there are jobs on the worker's
-- in-flight lists, the worker whose turn it is, the pid whose turn it is to look after its neighbours ("" if they are
-- not known), the time µs, what is due ("dead workers", "agenda", "scheduled jobs", "foreign workers"), and the positions of the
-- queues that have jobs, among those that the worker serves by their names now.
-- include: lib/clock
-- include: lib/worker_keys
-- include: lib/dead_workers
local worker, pid_namespace, lease, rq_worker = ARGV[1], ARGV[2], lease_prefix .. ARGV[1], rq_worker_prefix .. ARGV[1]
local neighbours_turn_key = neighbours_turn_prefix .. pid_namespace
local olds, taken, others = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
local first_taken, first_intermediate = first_queue + 9 * olds, first_queue + 9 * (olds + taken + others)
local now, longest_ms = now_us(), tonumber(ARGV[5])
local now_ms, now_s = math.floor(now / 1000), math.floor(now / 1000000)

local renewed, suspended, seen, calm_since, turn, neighbours_turn = unpack(redis.call('MGET',
  lease, rq_suspended, seen_key, calm_since_key, turn_key, neighbours_turn_key), 1, 6)

-- After a silence of all workers (Redis paused, restarted, failed over; no worker running) every lease looks ended at
-- once. From the end of the silence on, living workers have the length of a lease to renew before reap_workers.lua
-- presumes any dead.
local seen_ms = tonumber(seen or 0) or 0
local silence_ms = math.abs(now_ms - seen_ms)
if silence_ms > longest_ms or not calm_since then
  calm_since = now_ms
  redis.call('SET', calm_since_key, now_ms)
end
-- This time need not be exact, so it is not written at each renewal.
if silence_ms >= longest_ms / 6 then redis.call('SET', seen_key, now_ms) end

redis.call('SET', lease, now_ms, 'PX', ARGV[4])
if not renewed then
  redis.call('SADD', workers_key, worker)
  redis.call('HDEL', rq_worker, 'ran_alone')  -- it was presumed dead, and lives
end

-- The turn of a worker that died ends by itself. But if Redis's clock was set back, a turn that began before that lasts longer, by
-- as much.
if seen_ms > now_ms + longest_ms then turn, neighbours_turn = false, false end
if not turn then
  turn = worker
  redis.call('SET', turn_key, worker, 'PX', ARGV[6])
end
if pid_namespace ~= '' and not neighbours_turn then
  neighbours_turn = ARGV[3]
  redis.call('SET', neighbours_turn_key, ARGV[3], 'PX', ARGV[6])
end

local served = queues_from(first_queue, olds + taken)
redis.call('HSET', rq_worker, 'renewed_ms', now_ms, unpack(ARGV, 15))
if ARGV[7] ~= '0' then
  redis.call('EXPIRE', rq_worker, ARGV[7])
  redis.call('SADD', rq_workers, rq_worker)
  for _, queue in ipairs(served) do
    redis.call('SADD', rq_queues, queue.waiting)
    redis.call('SADD', queue.workers, rq_worker)
  end
end
local inflight = {}
for number, queue in ipairs(served) do inflight[number] = queue.inflight .. worker end

-- Returns whether one of these queues has a key of one of these kinds.
local function exists(queues, ...)
  local keys = {}
  for _, queue in ipairs(queues) do
    for _, kind in ipairs({ ... }) do keys[#keys + 1] = queue[kind] end
  end
  return redis.call('EXISTS', unpack(keys)) > 0
end

-- Returns the positions of the queues that have jobs, also in lists of tenants.
local function queues_with_jobs(queues)
  local found = {}
  if not exists(queues, 'waiting', 'turns') then return found end
  for number, queue in ipairs(queues) do
    if redis.call('EXISTS', queue.waiting, queue.turns) > 0 then found[#found + 1] = number end
  end
  return found
end

-- Returns whether a key of one of these queues needs work.
local function any(queues, kind, needs_work)
  if not exists(queues, kind) then return false end
  for _, queue in ipairs(queues) do
    if needs_work(queue[kind], queue) then return true end
  end
  return false
end

local function has_scores(least, greatest)
  return function(key) return redis.call('ZCOUNT', key, least, greatest) > 0 end
end

-- Where tenants take no turns, jobs may still wait in their lists: web processes have another setting than the workers.
local function waits_for_a_turn(_, queue)
  return redis.call('EXISTS', queue.turns) == 1 and (ARGV[11] ~= 'turns' or redis.call('EXISTS', queue.waiting) == 0)
end

local function what_is_due()
  local queues, due, kept_until = queues_from(first_taken, taken + others), {}, now_s + tonumber(ARGV[12])
  for number, queue in ipairs(queues) do queue.intermediate = KEYS[first_intermediate + number - 1] end
  if may_presume_dead(now_ms, now_ms, tonumber(calm_since), ARGV[5], ARGV[4]) and dead_workers()[1] then
    due[1] = 'dead workers'
  end
  if redis.call('ZCOUNT', agenda_key, '-inf', now_ms) > 0 then due[#due + 1] = 'agenda' end
  -- Most of the time, none of these keys exists.
  if not exists(queues, 'scheduled', 'turns', 'intermediate', 'wip', 'failed') then return due end
  if any(queues, 'scheduled', has_scores(0, now_s)) or any(queues, 'turns', waits_for_a_turn) then
    due[#due + 1] = 'scheduled jobs'
  end
  -- The runs of our workers never expire for RQ. A failed job's score is when it expires.
  if any(queues, 'intermediate', function() return true end) or any(queues, 'wip', has_scores('-inf', '(+inf'))
    or any(queues, 'failed', has_scores(kept_until - tonumber(ARGV[13]), kept_until + 60)) then
    due[#due + 1] = 'foreign workers'
  end
  return due
end

return {
  renewed and 0 or 1, suspended and 1 or 0, redis.call('EXISTS', unpack(inflight)), turn, neighbours_turn or '',
  string.format('%.0f', now), turn == worker and what_is_due() or {},
  ARGV[14] == 'waiting' and queues_with_jobs(queues_from(first_taken, taken)) or {},
}
