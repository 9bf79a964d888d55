-- Record final standings, each recipient's once. Queue the missed-call notices that are due, unless the user had one before.
-- KEYS
--   1 the call   2 the trail   3 the agenda   4 traces of forgotten rounds   5 start of the rounds' keys
--   then those of all of its rounds, of the jobs and of the outboxes
-- ARGV
--   1 length of a trail   2 seconds to keep a trail that has no expiry   3 seconds to keep a call whose rounds are all closed
--   4 seconds to keep traces   5 the version of the call when it was read; "" to record in any case
--   6 what to record as MessagePack, every number in it a string (bellhop/store/call_scripts.py describes it)
-- Returns the numbers (from 1) of the standings that were recorded now. Returns nil, and does nothing, when the call has
-- changed since it was read: the caller reads it again and decides again.
-- include: lib/announcing
-- include: lib/enqueue
-- include: lib/trail
local call, trail, agenda, traces, rounds = unpack(KEYS, 1, 5)
if ARGV[5] ~= '' and (redis.call('HGET', call, 'version') or '0') ~= ARGV[5] then return false end
local doc = cmsgpack.unpack(ARGV[6])

-- This settles the call for all events up to this version. The next event queues another job.
redis.call('HDEL', call, 'settle_job')
redis.call('LLEN', trail)  -- it is written after the notices: if it is not a list, the script must fail here

local recorded = {}
for number, item in ipairs(doc.settlements) do
  -- A round that expired since it was read must not be created again: it would have no expiry.
  local round = rounds .. item.started_at
  local facts, standing = unpack(redis.call('HMGET', round, 'facts', 'o:' .. item.user), 1, 2)
  if facts and not standing then
    local noticed = item.job and redis.call('HGET', call, item.noticed)
    if item.job and not (noticed and tonumber(noticed) >= tonumber(item.started_at)) then
      if item.later then schedule(item.later.job, doc.now, item.later.at_s) end
      enqueue(item.job, doc.now)
      if item.ringless then redis.call('HSET', call, item.noticed, item.started_at) end
    end
    append_to_trail(trail, { item.trail }, ARGV[1], ARGV[2])
    if item.told then announce(round, item.told, doc.now) end
    -- This comes last: what fails before it is settled again.
    redis.call('HSET', round, 'o:' .. item.user, item.standing)
    recorded[#recorded + 1] = number
  end
end

-- Old rounds leave the call. Their traces are written first: if this script fails halfway, each round is there or its traces are.
local forgotten = doc.forgotten
if forgotten then
  redis.call('HSET', call, 'forgotten', forgotten['until'])
  in_parts(forgotten.traces, function(...) redis.call('ZADD', traces, 'GT', ...) end)
  redis.call('ZREMRANGEBYSCORE', traces, '-inf', '(' .. forgotten.stale)
  redis.call('EXPIRE', traces, ARGV[4])
  remove_fields(call, forgotten.fields)
  for _, started_at in ipairs(forgotten.rounds) do redis.call('EXPIRE', rounds .. started_at, ARGV[3]) end
end

-- When this call must be looked at next; never, when every round is closed.
if doc.next_ms == '' then
  redis.call('ZREM', agenda, doc.member)
  redis.call('EXPIRE', call, ARGV[3])
  for _, started_at in ipairs(doc.rounds) do redis.call('EXPIRE', rounds .. started_at, ARGV[3]) end
else
  redis.call('ZADD', agenda, doc.next_ms, doc.member)
end
return recorded
