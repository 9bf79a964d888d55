-- The watchdog's look at the agenda: queue a settle job for each call whose time has come. Any number of workers may run it:
-- the call's next time moves on in the same step, so a job that is lost is queued again. One that waits, or is being run, is
-- not: while nobody runs them, jobs would pile up without bound.
-- KEYS: agenda  ARGV: at most how many, again after ms, job fields as JSON, how long a job that waits is believed in s
-- include: lib/enqueue
-- include: lib/execution
local now = now_us()
local now_ms = math.floor(now / 1000)
local template = cjson.decode(ARGV[3])
local queue, believed = 'rq:queue:' .. template.queue, iso(now - tonumber(ARGV[4]) * 1000000)

local function under_way(id)
  local status, since = unpack(job_fields(id, 'status', 'enqueued_at'), 1, 2)
  if status ~= 'queued' then return status == 'started' end
  -- After so long somebody may have taken it off its queue: look there, which takes long when the queue is.
  return (since or '') > believed or redis.call('LPOS', queue, id)
end

local queued = 0
for _, member in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now_ms, 'LIMIT', 0, ARGV[1])) do
  redis.call('ZADD', KEYS[1], now_ms + tonumber(ARGV[2]), member)
  local id = 'settle-' .. redis.sha1hex(member)
  if not under_way(id) then
    -- What became of it the last time is over.
    redis.call('DEL', 'rq:job:' .. id)
    redis.call('ZREM', 'rq:failed:' .. template.queue, id)
    redis.call('ZREM', 'rq:finished:' .. template.queue, id)
    local colon = string.find(member, ':', 1, true)
    local tenant, cid = string.sub(member, 1, colon - 1), string.sub(member, colon + 1)
    template.id = id
    template.data = '["' .. template.name .. '",null,[' .. cjson.encode({ tenant = tenant, cid = cid, v = 1 }) .. '],{}]'
    enqueue(template, iso(now))
    queued = queued + 1
  end
end
return queued
