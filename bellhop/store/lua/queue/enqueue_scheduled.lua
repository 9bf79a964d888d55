-- Queue the scheduled jobs whose time has come, up to 100 of each queue, and remove ended jobs that have expired from
-- RQ's registries. RQ's own scheduler and maintenance would do the same. Any number of workers may run it at any time.
-- include: lib/clock
-- include: lib/queue_names
local now = now_us()
local now_s = math.floor(now / 1e6)
for _, queue in ipairs(queue_names()) do
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
