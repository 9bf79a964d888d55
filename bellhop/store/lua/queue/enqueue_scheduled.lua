-- Queue scheduled jobs of these queues whose time has come, and remove ended jobs that have expired from RQ's registries:
-- some of each, so that Redis soon answers others again. RQ's own scheduler and maintenance would do the same. Any number of
-- workers may run it at any time.
-- KEYS: lib/queue_keys.lua, any number of queues
-- ARGV: limit of jobs, of each queue and kind
-- Returns whether more may be due: the caller must run it again.
-- include: lib/clock
-- include: lib/queue_keys
local now, limit, more = now_us(), tonumber(ARGV[1]), 0
local now_s = math.floor(now / 1e6)

local function remove_expired(registry)
  local expired = redis.call('ZCOUNT', registry, 0, now_s)
  if expired > 0 then redis.call('ZREMRANGEBYRANK', registry, 0, math.min(expired, limit) - 1) end
  if expired > limit then more = 1 end
end

for _, queue in ipairs(queues_from(6)) do
  remove_expired(queue.finished)
  remove_expired(queue.failed)
  local due = redis.call('ZRANGEBYSCORE', queue.scheduled, 0, now_s, 'LIMIT', 0, limit)
  for _, id in ipairs(due) do
    redis.call('ZREM', queue.scheduled, id)
    if redis.call('HGET', job_prefix .. id, 'status') == 'scheduled' then
      redis.call('HSET', job_prefix .. id, 'status', 'queued', 'enqueued_at', iso(now))
      redis.call('RPUSH', queue.waiting, id)
    end
  end
  if #due == limit then more = 1 end
end
return more
