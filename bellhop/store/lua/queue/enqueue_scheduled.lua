-- Queue scheduled jobs of these queues whose time has come, and remove ended jobs that have expired from RQ's registries:
-- some of each, so that Redis soon answers others again. RQ's own scheduler and maintenance would do the same. Any number of
-- workers may run it at any time.
-- KEYS: lib/queue_keys.lua, any number of queues, with the set of all queues between
-- ARGV: limit of jobs, of each queue and kind; "turns" if jobs of several tenants may wait
-- Returns whether more may be due: the caller must run it again.
-- include: lib/enqueue
-- include: lib/execution
local now, limit, more, in_turn, lists = now_us(), tonumber(ARGV[1]), 0, ARGV[2] == 'turns', KEYS[6]
local now_s = math.floor(now / 1e6)

local function remove_expired(registry)
  local expired = redis.call('ZCOUNT', registry, 0, now_s)
  if expired > 0 then redis.call('ZREMRANGEBYRANK', registry, 0, math.min(expired, limit) - 1) end
  if expired > limit then more = 1 end
end

local function let_wait_again(queue, id, tenant)
  local own = in_turn and tenant and queue.of_tenant .. tenant
  local keys = { waiting = queue.waiting, own = own, turns = queue.turns, queues = lists }
  let_wait({ id = id, tenant = own and tenant }, keys)
end

-- A worker that died, or that takes no job of a tenant now, may have taken the last job of the queue while jobs wait in lists.
-- A worker that waits for the queue does not see these jobs. So one of them moves to the queue.
local function begin_turns(queue)
  if redis.call('EXISTS', queue.waiting) == 0 then turns_of(queue, {}, now)(queue.waiting) end
end

-- Where tenants take no turns, no worker looks at the lists: all jobs move to the queue.
local function end_turns(queue)
  local move_next = turns_of(queue, {}, now)
  for _ = 1, limit do
    if not move_next(queue.waiting) then return end
  end
  more = 1
end

for _, queue in ipairs(queues_from(7)) do
  remove_expired(queue.finished)
  remove_expired(queue.failed)
  local due = redis.call('ZRANGEBYSCORE', queue.scheduled, 0, now_s, 'LIMIT', 0, limit)
  for _, id in ipairs(due) do
    local status, tenant = unpack(job_fields(id, 'status', 'tenant'), 1, 2)
    if status == 'scheduled' then
      let_wait_again(queue, id, tenant)
      redis.call('HSET', job_prefix .. id, 'status', 'queued', 'enqueued_at', iso(now))
    end
    -- This comes last: if a command before it fails, the job is queued again. A worker begins it once.
    redis.call('ZREM', queue.scheduled, id)
  end
  if in_turn then begin_turns(queue) else end_turns(queue) end
  if #due == limit then more = 1 end
end
return more
