-- Move our jobs from a queue's old name to its new one. Jobs of other applications stay where they are, in their order.
-- KEYS: lib/queue_keys.lua, the old queue and the new one
-- ARGV: the new queue's name; at which jobs to look ("waiting", "scheduled", "failed" or "finished"), from which position on, at how
--       many jobs; then the names of our jobs
-- Returns the position of the next look, 0 after the end, and how many jobs were moved.
-- include: lib/job_names
local from, to, state = queue_at(6), queue_at(15), ARGV[2]
local source, target, start, limit = from[state], to[state], tonumber(ARGV[3]), tonumber(ARGV[4])
local is_ours = our_jobs(5)

-- Moves ours among the jobs at these positions. Returns how many jobs there were, and how many were ours. LREM reads the
-- list from its end if `at_end`.
local MOVED = 'moved to the queue of the new name'
local function move(first, last, at_end)
  local ids, moved = redis.call(state == 'waiting' and 'LRANGE' or 'ZRANGE', source, first, last), 0
  for i, id in ipairs(ids) do
    if is_ours(id) then
      if state == 'waiting' then
        redis.call('RPUSH', target, id)
        redis.call('LSET', source, first + i - 1, MOVED)
      else
        redis.call('ZADD', target, redis.call('ZSCORE', source, id), id)
        redis.call('ZREM', source, id)
      end
      redis.call('HSET', job_prefix .. id, 'origin', ARGV[1])
      moved = moved + 1
    end
  end
  if state == 'waiting' and moved > 0 then redis.call('LREM', source, at_end and -moved or moved, MOVED) end
  return #ids, moved
end

local seen, moved = move(start, start + limit - 1)
if seen < limit then return { 0, moved } end
local next_start = start + seen - moved
if state == 'waiting' and moved == 0 then
  -- Others have many jobs here. Web processes of an older version put ours at the end.
  local length = redis.call('LLEN', source)
  moved = select(2, move(math.max(length - limit, next_start), length - 1, true))
end
return { next_start, moved }
