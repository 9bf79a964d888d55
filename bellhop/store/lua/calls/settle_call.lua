-- Record final outcomes: each recipient's once, and queue the notice of those who have one due and had none yet.
-- Returns the numbers (from 1) of those recorded now; nil, and nothing is done, when the call has moved on since it was
-- read: the caller reads again and decides again.
-- KEYS: call, trail, agenda
-- ARGV: ttl s of a trail that has none, ttl s of a call whose rounds are all closed, what to close as JSON (see worker/settle.py; every
--       number a string)
-- include: lib/enqueue
local call, trail, agenda = KEYS[1], KEYS[2], KEYS[3]
local doc = cjson.decode(ARGV[3])
if (redis.call('HGET', call, 'version') or '0') ~= doc.version then return false end

local closed = {}
for number, item in ipairs(doc.settlements) do
  -- A round that has expired since it was read is not to come back, without an end.
  local known = redis.call('EXISTS', item.round) == 1
  if known and redis.call('HSETNX', item.round, 'o:' .. item.user, item.standing) == 1 then
    local noticed = redis.call('HGET', call, item.noticed)
    if item.job and not (noticed and tonumber(noticed) >= tonumber(item.started_at)) then
      if item.ringless then redis.call('HSET', call, item.noticed, item.started_at) end
      enqueue(item.job, doc.now)
    end
    redis.call('RPUSH', trail, item.trail)
    closed[#closed + 1] = number
  end
end
redis.call('LTRIM', trail, -tonumber(doc.trail_length), -1)
if redis.call('TTL', trail) < 0 then redis.call('EXPIRE', trail, ARGV[1]) end

-- The next time this call wants attention; none when every round is closed.
if doc.next_ms == '' then
  redis.call('ZREM', agenda, doc.member)
  redis.call('EXPIRE', call, ARGV[2])
  for _, round in ipairs(doc.rounds) do redis.call('EXPIRE', round, ARGV[2]) end
else
  redis.call('ZADD', agenda, doc.next_ms, doc.member)
end
return closed
