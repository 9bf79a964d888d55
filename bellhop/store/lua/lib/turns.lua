-- Tenants take turns in a queue. A few jobs wait in the queue itself. While it has that many, each further job of a tenant waits in
-- a list of the tenant. Workers take from these lists in turn (queue/take_jobs.lua), so a tenant with thousands of jobs does not
-- keep those of others waiting. The key of a list is `queue.of_tenant` and the tenant's name. `queue.turns` has the tenants with a
-- list, by when a job of theirs was last taken. Each tenant whose list has jobs is there; a tenant without jobs may be there too.
local FEW = 16

-- Returns whether a new job of a tenant must wait in the tenant's list, `own`.
local function must_wait_for_turn(waiting, own)
  if redis.call('EXISTS', waiting, own) == 0 then return false end
  return redis.call('EXISTS', own) == 1 or redis.call('LLEN', waiting) >= FEW
end

-- Puts a new job at the end of its tenant's list. `lists` is RQ's set of all queues.
-- Returns an error, as a table with `err`, if the list cannot be written.
local function put_in_turn(id, tenant, own, turns, lists, now)
  redis.call('ZADD', turns, 'NX', string.format('%.0f', now), tenant)
  local length = redis.pcall('RPUSH', own, id)
  if length == 1 then redis.call('SADD', lists, own) end
  return type(length) == 'table' and length.err and length or nil
end

-- How many tenants a script may serve.
local AT_ONCE = 100

-- Returns a function, and whether tenants wait. The function moves one job to the end of another list: a job of the tenant whose
-- turn it is. It returns the job's id and the tenant's list; nil if no job waits there. Tenants in the set `not_of` get no turn.
local function turns_of(queue, not_of, now)
  local tenants, served = redis.call('ZRANGE', queue.turns, 0, AT_ONCE - 1), 0
  local function move_next(target)
    for _ = 1, #tenants do
      local tenant = table.remove(tenants, 1)
      if not not_of[tenant] then
        local own = queue.of_tenant .. tenant
        local id = redis.call('LMOVE', own, target, 'LEFT', 'RIGHT')
        if id then
          served, tenants[#tenants + 1] = served + 1, tenant
          redis.call('ZADD', queue.turns, string.format('%.0f', now + served), tenant)
          return id, own
        end
        redis.call('ZREM', queue.turns, tenant)
      end
    end
  end
  return move_next, #tenants > 0
end
