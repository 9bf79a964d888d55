-- Give back the jobs of dead workers: the workers whose lease has ended. Any number of workers may run it at any time.
-- KEYS: lib/worker_keys.lua, all queues of the installation
-- ARGV: lease ms, longest pause between renewals ms
-- Returns the dead workers' names, each followed by the number of its jobs.
-- include: lib/execution
-- include: lib/worker_keys
local now_ms = math.floor(now_us() / 1000)

-- Right after a silence of all workers, all leases look ended: nobody is presumed dead then (see renew_lease.lua).
-- Reading Redis's clock here also covers a call of this script that waited in the buffer of a paused Redis.
local seen = tonumber(redis.call('GET', seen_key) or 0)
local calm_since = tonumber(redis.call('GET', calm_since_key) or now_ms)
if now_ms - seen > tonumber(ARGV[2]) or now_ms - calm_since <= tonumber(ARGV[1]) then return {} end

local dead = {}
for _, worker in ipairs(redis.call('SMEMBERS', workers_key)) do
  if redis.call('EXISTS', lease_prefix .. worker) == 0 then
    local moved, rq_worker, death = 0, rq_worker_prefix .. worker, death_of(worker, queues)
    for _, queue in ipairs(queues) do moved = moved + hand_back_all(queue, worker, death) end
    -- If remove_worker.lua has removed the worker, its caller has reported the death. It is reported again only if
    -- Redis gave the worker a job after that.
    local news = redis.call('SREM', rq_workers, rq_worker) == 1 or moved > 0
    if redis.call('EXISTS', death_noticed_prefix .. worker) == 0 then redis.call('SREM', workers_key, worker) end
    for _, queue in ipairs(queues) do redis.call('SREM', queue.workers, rq_worker) end
    redis.call('DEL', rq_worker)
    if news then
      dead[#dead + 1] = worker
      dead[#dead + 1] = moved
    end
  end
end
return dead
