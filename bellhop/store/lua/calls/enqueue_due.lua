-- The watchdog: queue a settle job for each call on the agenda whose time has come. Any number of workers may run this: the
-- call's next time is set in the same step, so a job that is lost is queued again. A job that waits or runs is not queued a
-- second time: otherwise, while no worker runs, there would be more and more jobs.
-- KEYS: lib/queue_keys.lua, the queue; then the agenda and the set of all queues
-- ARGV
--   1 limit of calls   2 ms until a call is looked at again   3 fields of the job as JSON
--   4 seconds for which a queued job is assumed to be on its queue   5 limit of jobs in the queue
-- Returns at how many calls it looked; nil if there are more jobs in the queue.
-- include: lib/enqueue
-- include: lib/execution
local now = now_us()
local now_ms = math.floor(now / 1000)
local agenda, template = KEYS[15], cjson.decode(ARGV[3])
local queue, assumed_since = queue_at(6), iso(now - tonumber(ARGV[4]) * 1000000)
if redis.call('LLEN', queue.waiting) > tonumber(ARGV[5]) then return nil end

-- A queued job may have been taken off its queue. A queue keeps the order in which jobs were queued: so the job is gone if
-- the first job there was queued later. The queue itself is not searched: it may be long.
local first = redis.call('LINDEX', queue.waiting, 0)
local first_since = first and (job_fields(first, 'enqueued_at')[1] or '')

local function waits_or_runs(status, since)
  if status ~= 'queued' then return status == 'started' or status == 'scheduled' end
  since = since or ''
  return since > assumed_since or first_since and first_since <= since
end

local due = redis.call('ZRANGEBYSCORE', agenda, '-inf', now_ms, 'LIMIT', 0, ARGV[1])
for _, member in ipairs(due) do
  redis.call('ZADD', agenda, now_ms + tonumber(ARGV[2]), member)
  local id = 'settle-' .. redis.sha1hex(member)
  local status, since, deaths, suspicions =
    unpack(job_fields(id, 'status', 'enqueued_at', 'lost_workers', 'suspicions'), 1, 4)
  if not waits_or_runs(status, since) then
    -- Remove the record of the last run. If the job failed, the new job keeps the numbers of the workers that died while
    -- they ran it. Without these numbers, a job that kills its workers would never be given up.
    redis.call('DEL', job_prefix .. id)
    redis.call('ZREM', queue.failed, id)
    redis.call('ZREM', queue.finished, id)
    local colon = string.find(member, ':', 1, true)
    local tenant, cid = string.sub(member, 1, colon - 1), string.sub(member, colon + 1)
    template.id = id
    template.data = '["' .. template.name .. '",null,[' .. cjson.encode({ tenant = tenant, cid = cid, v = 1 }) .. '],{}]'
    enqueue(template, iso(now), { hash = job_prefix .. id, waiting = queue.waiting, queues = KEYS[16] })
    if status == 'failed' and suspicions then
      redis.call('HSET', job_prefix .. id, 'lost_workers', deaths or 0, 'suspicions', suspicions)
    end
  end
end
return #due
