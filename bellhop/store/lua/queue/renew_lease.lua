-- Renew a worker's lease, and see what the worker must look after. Each worker runs this twice a second, also when there is
-- nothing to do: what need not be done each time is not done here each time.
-- KEYS: lib/worker_keys.lua, the worker's queues
-- ARGV: worker, its place ("" if it is not known), its pid, lease ms, longest pause between renewals ms, how long a turn lasts
--       ms, ttl of RQ's registration s (0 if it is not due), then fields and values of RQ's worker hash
-- Returns whether the lease had ended (or is new), whether `rq suspend` is in force, whether there are jobs on the worker's
-- in-flight lists, the worker whose turn it is, the pid whose turn it is to look after its neighbours ("" without place), and
-- the time µs.
-- include: lib/clock
-- include: lib/worker_keys
local worker, place, lease, rq_worker = ARGV[1], ARGV[2], lease_prefix .. ARGV[1], rq_worker_prefix .. ARGV[1]
local neighbours_turn_key = neighbours_turn_prefix .. place
local now, longest_ms = now_us(), tonumber(ARGV[5])
local now_ms = math.floor(now / 1000)

local renewed, suspended, seen, calm_since, turn, neighbours_turn = unpack(redis.call('MGET',
  lease, rq_suspended, seen_key, calm_since_key, turn_key, neighbours_turn_key), 1, 6)

-- After a silence of all workers (Redis paused, restarted, failed over; no worker running) every lease looks ended at
-- once. From the end of the silence on, living workers have the length of a lease to renew before reap_workers.lua
-- presumes any dead.
local silence_ms = math.abs(now_ms - (tonumber(seen or 0) or 0))
if silence_ms > longest_ms or not calm_since then redis.call('SET', calm_since_key, now_ms) end
-- This time need not be exact, so it is not written at each renewal.
if silence_ms >= longest_ms / 6 then redis.call('SET', seen_key, now_ms) end

redis.call('SET', lease, now_ms, 'PX', ARGV[4])
if not renewed then
  redis.call('SADD', workers_key, worker)
  redis.call('HDEL', rq_worker, 'ran_alone')  -- it was presumed dead, and lives
end

-- The turn of a worker that died ends by itself.
if not turn then
  turn = worker
  redis.call('SET', turn_key, worker, 'PX', ARGV[6])
end
if place ~= '' and not neighbours_turn then
  neighbours_turn = ARGV[3]
  redis.call('SET', neighbours_turn_key, ARGV[3], 'PX', ARGV[6])
end

redis.call('HSET', rq_worker, 'renewed_ms', now_ms, unpack(ARGV, 8))
if ARGV[7] ~= '0' then
  redis.call('EXPIRE', rq_worker, ARGV[7])
  redis.call('SADD', rq_workers, rq_worker)
  for _, queue in ipairs(queues) do
    redis.call('SADD', rq_queues, queue.waiting)
    redis.call('SADD', queue.workers, rq_worker)
  end
end
local inflight = {}
for number, queue in ipairs(queues) do inflight[number] = queue.inflight .. worker end
return {
  renewed and 0 or 1, suspended and 1 or 0, redis.call('EXISTS', unpack(inflight)), turn, neighbours_turn or '',
  string.format('%.0f', now),
}
