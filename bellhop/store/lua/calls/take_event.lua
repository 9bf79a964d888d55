-- Take one event in: claim its webhook id, grow the call's stamps, open its round, queue its job. All of it or nothing.
-- Repeated because an answer was lost, it says "already" and changes nothing but the trail.
-- KEYS: webhook claim, call, trail, agenda
-- ARGV: claim ttl s, ttl s of a call, of a call with an open round, and of a trail, and what to do as JSON (see
--       webhook/intake/apply.py; every number in it is a string)
-- include: lib/enqueue
local claim, call, trail, agenda = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local doc = cjson.decode(ARGV[5])

local function note(line)
  redis.call('RPUSH', trail, line)
  redis.call('LTRIM', trail, -tonumber(doc.trail_length), -1)
  redis.call('EXPIRE', trail, ARGV[4])
end

if not redis.call('SET', claim, '1', 'NX', 'EX', ARGV[1]) then
  note(doc.repeated)
  return 'already'
end

-- A call that never comes to rest, such as a lobby, never expires: what is out of date in it leaves from time to time.
local pruned = redis.call('HGET', call, 'pruned')
if pruned and tonumber(pruned) < tonumber(doc.stale) then
  local fields = redis.call('HGETALL', call)
  for i = 1, #fields, 2 do
    local at = tonumber(string.match(fields[i], '^r:(%d+)$') or fields[i + 1])
    if at < tonumber(doc.stale) and fields[i] ~= 'version' then redis.call('HDEL', call, fields[i]) end
  end
end

local changed = false
for _, stamp in ipairs(doc.stamps) do
  local mark, value = stamp[1], stamp[2]
  local old = redis.call('HGET', call, mark)
  if not old or tonumber(value) > tonumber(old) then
    redis.call('HSET', call, mark, value)
    changed = true
  end
end

-- What is known of the call already may have ended the round before it came: then it is to be settled at once.
local known = redis.call('EXISTS', call) == 1

local function open_round(round)
  redis.call('HSETNX', call, 'r:' .. round.started_at, round.session_id)
  redis.call('HSETNX', round.key, 'facts', round.facts)
  if round.ringless then redis.call('HSETNX', round.key, 'ringless', '1') end
  for _, recipient in ipairs(round.recipients) do
    redis.call('HSETNX', round.key, 'u:' .. recipient[1], recipient[2])
  end
  redis.call('EXPIRE', round.key, ARGV[3])
  redis.call('ZADD', agenda, 'LT', known and math.floor(doc.now_us / 1000) or round.settle_at_ms, doc.member)
  changed = true
end

-- A call.missed belongs to the rounds that rang its members; for members of no known round it opens a ringless one, which
-- then stands for every other call.missed of that session, whichever came first.
local function without_round(missed)
  local rounds, fields, uncovered = {}, redis.call('HGETALL', call), {}
  for i = 1, #fields, 2 do
    local started_at = string.match(fields[i], '^r:(%d+)$')
    local same = fields[i + 1] == missed.session_id or fields[i + 1] == '' or missed.session_id == ''
    if started_at and same then
      local key = missed.key_prefix .. started_at
      local before = tonumber(started_at) <= tonumber(missed.started_at)
      if before or redis.call('HEXISTS', key, 'ringless') == 1 then rounds[#rounds + 1] = key end
    end
  end
  for _, recipient in ipairs(missed.recipients) do
    local covered = false
    for _, key in ipairs(rounds) do
      covered = covered or redis.call('HEXISTS', key, 'u:' .. recipient[1]) == 1
    end
    if not covered then uncovered[#uncovered + 1] = recipient end
  end
  return uncovered
end

if doc.round then open_round(doc.round) end
if doc.missed then
  doc.missed.recipients = without_round(doc.missed)
  if #doc.missed.recipients > 0 then open_round(doc.missed) end
end
if changed then
  redis.call('HINCRBY', call, 'version', 1)
  redis.call('HSETNX', call, 'pruned', doc.now_us)
  redis.call('EXPIRE', call, redis.call('ZSCORE', agenda, doc.member) and ARGV[3] or ARGV[2])
end

for _, job in ipairs(doc.jobs) do enqueue(job, doc.now) end

-- The console's lists (bellhop/call_index.py) hold the latest calls. Of the tenant's, those leave that have no trail any more.
if doc.listed then
  for _, list in ipairs(doc.listed.limits) do
    redis.call('ZADD', list[1], doc.listed.how, doc.now_us, doc.listed.cid)
    redis.call('ZREMRANGEBYRANK', list[1], 0, -1 - tonumber(list[2]))
    redis.call('EXPIRE', list[1], ARGV[4])
  end
  local oldest = tonumber(doc.now_us) - tonumber(ARGV[4]) * 1e6
  redis.call('ZREMRANGEBYSCORE', doc.listed.limits[1][1], '-inf', string.format('(%.0f', oldest))
end

note(doc.trail)
return 'taken'
