-- Queue the scheduled jobs of these queues whose time has come, up to 100 of each, and remove ended jobs that have
-- expired from RQ's registries. RQ's own scheduler and maintenance would do the same. Any number of workers may run it at
-- any time.
-- KEYS: lib/queue_keys.lua, any number of queues
-- include: lib/clock
-- include: lib/queue_keys
local now = now_us()
local now_s = math.floor(now / 1e6)
for _, queue in ipairs(queues_from(6)) do
  redis.call('ZREMRANGEBYSCORE', queue.finished, 0, now_s)
  redis.call('ZREMRANGEBYSCORE', queue.failed, 0, now_s)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', queue.scheduled, 0, now_s, 'LIMIT', 0, 100)) do
    redis.call('ZREM', queue.scheduled, id)
    if redis.call('HGET', job_prefix .. id, 'status') == 'scheduled' then
      redis.call('HSET', job_prefix .. id, 'status', 'queued', 'enqueued_at', iso(now))
      redis.call('RPUSH', queue.waiting, id)
    end
  end
end
