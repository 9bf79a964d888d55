-- Give back some jobs of dead workers: the workers whose lease has ended. Any number of workers may run it at any time.
-- KEYS: lib/worker_keys.lua, all queues of the installation
-- ARGV: lease ms, longest pause between renewals ms, limit of jobs
-- Returns whether jobs may be left (the caller must run it again), then the dead workers' names, each followed by the number
-- of its jobs that were given back now.
-- include: lib/leaving
-- include: lib/dead_workers
local now_ms = math.floor(now_us() / 1000)

-- Reading Redis's clock here also covers a call of this script that waited in the buffer of a paused Redis.
local seen, calm_since = unpack(redis.call('MGET', seen_key, calm_since_key), 1, 2)
if not may_presume_dead(now_ms, tonumber(seen or 0), tonumber(calm_since or now_ms), ARGV[2], ARGV[1]) then return { 0 } end

local left, answer = tonumber(ARGV[3]), { 0 }
for _, worker in ipairs(dead_workers()) do
  local looked, moved = hand_back_some(worker, left, death_of(worker))
  local news, all_back = moved > 0, looked < left
  left = left - looked
  if all_back then
    -- If remove_worker.lua has removed the worker, its caller has reported the death. It is reported again only if Redis
    -- gave the worker a job after that.
    news = unregister(worker) or news
    if redis.call('EXISTS', death_noticed_prefix .. worker) == 0 then redis.call('SREM', workers_key, worker) end
  end
  if news then
    answer[#answer + 1] = worker
    answer[#answer + 1] = moved
  end
  if not all_back then
    answer[1] = 1
    break
  end
end
return answer
