-- Give the jobs of dead workers back, queue what was scheduled for now, and let go of ended jobs that have expired: all that
-- RQ's scheduler and maintenance would do. Any number of workers may run it at any time.
-- ARGV: lease ms, longest pause between beats ms
-- Returns the dead workers' names, each followed by how many jobs it left.
-- include: lib/execution
local now = now_us()
local now_ms = math.floor(now / 1000)
local queues = {}
for _, key in ipairs(redis.call('SMEMBERS', 'rq:queues')) do
  queues[#queues + 1] = string.match(key, '^rq:queue:(.*)$')
end

local now_s = math.floor(now_ms / 1000)
for _, queue in ipairs(queues) do
  redis.call('ZREMRANGEBYSCORE', 'rq:finished:' .. queue, 0, now_s)
  redis.call('ZREMRANGEBYSCORE', 'rq:failed:' .. queue, 0, now_s)
  local scheduled = 'rq:scheduled:' .. queue
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', scheduled, 0, now_s, 'LIMIT', 0, 100)) do
    redis.call('ZREM', scheduled, id)
    if redis.call('HGET', 'rq:job:' .. id, 'status') == 'scheduled' then
      redis.call('HSET', 'rq:job:' .. id, 'status', 'queued', 'enqueued_at', iso(now))
      redis.call('RPUSH', 'rq:queue:' .. queue, id)
    end
  end
end

-- See renew_lease.lua. Asking Redis's clock here also covers a call of this script that sat in the buffer of a paused Redis.
local seen = tonumber(redis.call('GET', 'bellhop:workers:seen') or 0)
local calm_since = tonumber(redis.call('GET', 'bellhop:workers:calm_since') or now_ms)
if now_ms - seen > tonumber(ARGV[2]) or now_ms - calm_since <= tonumber(ARGV[1]) then return {} end

local dead = {}
for _, worker in ipairs(redis.call('SMEMBERS', 'bellhop:workers')) do
  if redis.call('EXISTS', 'bellhop:worker:' .. worker) == 0 then
    local moved = 0
    for _, queue in ipairs(queues) do moved = moved + hand_back_all(queue, worker, true) end
    -- One that was buried (see remove_worker.lua) is no news, but what came for it since.
    local news = redis.call('SREM', 'rq:workers', 'rq:worker:' .. worker) == 1 or moved > 0
    if redis.call('EXISTS', 'bellhop:buried:' .. worker) == 0 then redis.call('SREM', 'bellhop:workers', worker) end
    for _, queue in ipairs(queues) do redis.call('SREM', 'rq:workers:' .. queue, 'rq:worker:' .. worker) end
    redis.call('DEL', 'rq:worker:' .. worker)
    if news then
      dead[#dead + 1] = worker
      dead[#dead + 1] = moved
    end
  end
end
return dead
