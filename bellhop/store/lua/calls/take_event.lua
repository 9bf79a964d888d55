-- Apply one event: update the call's stamps, open its round, queue its job, and claim its webhook id.
-- Redis does not undo what a script wrote before an error. So the claim is written last, and every write may be repeated: after
-- an error nothing is claimed, and Stream's repeat does the rest.
-- If this runs again because the answer was lost, it returns "already" and changes nothing but the trail.
-- KEYS
--   1 the claim of the webhook's id   2 the call   3 the trail   4 the agenda
-- ARGV
--   1 length of a trail   2 seconds to keep the claim   3 a call   4 a call with an open round   5 the trail, from now
--   6 what to do as JSON, every number in it a string (bellhop/store/call_scripts.py describes it)
-- Returns "taken" or "already".
-- include: lib/enqueue
-- include: lib/history
-- include: lib/rounds
-- include: lib/trail
local claim, call, trail, agenda = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local trail_length, claim_ttl, call_ttl, open_ttl, trail_ttl = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local doc = cjson.decode(ARGV[6])

local function append(line)
  push_to_trail(trail, { line }, trail_length)
  redis.call('EXPIRE', trail, trail_ttl)
end

if redis.call('EXISTS', claim) == 1 then
  append(doc.repeated)
  return 'already'
end

-- The trail is written last, when the job is on its queue. If it is not a list, the script must fail here.
redis.call('LLEN', trail)

-- A call that is always in use, such as a lobby, never expires. Its outdated fields are removed from time to time.
local pruned = redis.call('HGET', call, 'pruned')
if pruned and tonumber(pruned) < tonumber(doc.stale) then
  local fields = redis.call('HGETALL', call)
  for i = 1, #fields, 2 do
    local at = tonumber(string.match(fields[i], '^r:(%d+)$') or fields[i + 1])
    if at < tonumber(doc.stale) and fields[i] ~= 'version' then redis.call('HDEL', call, fields[i]) end
  end
end

-- The version is written before the change: a script that settles what it read before must see that the call has changed,
-- even if this script fails halfway.
local changed = false
local function begin_change()
  if changed then return end
  changed = true
  redis.call('HINCRBY', call, 'version', 1)
  redis.call('HSETNX', call, 'pruned', doc.now_us)
end

for _, stamp in ipairs(doc.stamps) do
  local name, value = stamp[1], stamp[2]
  local old = redis.call('HGET', call, name)
  if not old or tonumber(value) > tonumber(old) then
    begin_change()
    redis.call('HSET', call, name, value)
  end
end

-- Of each name and session, the latest stamps are kept: so the order of events does not matter, and a call's hash has a limit.
local added = {}
for _, stamp in ipairs(doc.history) do
  if redis.call('HEXISTS', call, stamp[1]) == 0 then
    begin_change()
    redis.call('HSET', call, stamp[1], stamp[2])
    local _, session, name = read_history_field(stamp[1])
    added[#session .. ':' .. session .. ':' .. name] = {}
  end
end
if next(added) then
  local fields = redis.call('HGETALL', call)
  for i = 1, #fields, 2 do
    local at, session, name = read_history_field(fields[i])
    local kept = at and added[#session .. ':' .. session .. ':' .. name]
    if kept then kept[#kept + 1] = { at, fields[i] } end
  end
  for _, kept in pairs(added) do
    table.sort(kept, function(a, b) return a[1] > b[1] end)
    for i = doc.history_kept + 1, #kept do redis.call('HDEL', call, kept[i][2]) end
  end
end

-- Stamps that are already known may end a round that is only opened now: then it must be settled at once.
local known = redis.call('EXISTS', call) == 1

local function open_round(round)
  begin_change()
  redis.call('HSETNX', call, 'r:' .. round.started_at, round.session_id)
  redis.call('HSETNX', round.key, 'facts', round.facts)
  if round.ringless then redis.call('HSETNX', round.key, 'ringless', '1') end
  for _, recipient in ipairs(round.recipients) do
    redis.call('HSETNX', round.key, 'u:' .. recipient[1], recipient[2])
  end
  redis.call('EXPIRE', round.key, open_ttl)
  redis.call('ZADD', agenda, 'LT', known and math.floor(doc.now_us / 1000) or round.settle_at_ms, doc.member)
end

-- A call.missed belongs to the rounds that rang its members. For members of no known round it opens a ringless round, which
-- then stands for every other call.missed of that session, in whatever order they arrive.
local function without_round(missed)
  local rounds, uncovered = {}, {}
  for _, round in ipairs(rounds_of(redis.call('HGETALL', call))) do
    if round.session == missed.session_id or round.session == '' or missed.session_id == '' then
      local key = missed.key_prefix .. round.started_at
      local before = tonumber(round.started_at) <= tonumber(missed.started_at)
      if before or redis.call('HEXISTS', key, 'ringless') == 1 then rounds[#rounds + 1] = key end
    end
  end
  for _, recipient in ipairs(missed.recipients) do
    if not rung_in(rounds, recipient[1]) then uncovered[#uncovered + 1] = recipient end
  end
  return uncovered
end

if doc.round then open_round(doc.round) end
if doc.missed then
  doc.missed.recipients = without_round(doc.missed)
  if #doc.missed.recipients > 0 then open_round(doc.missed) end
end
redis.call('EXPIRE', call, redis.call('ZSCORE', agenda, doc.member) and open_ttl or call_ttl)
if doc.settle_open then redis.call('ZADD', agenda, 'XX', 'LT', math.floor(doc.now_us / 1000), doc.member) end

-- The lists of the latest calls (bellhop/call_index.py). Calls that have no trail any more leave the tenant's list.
if doc.listed then
  for _, list in ipairs(doc.listed.limits) do
    redis.call('ZADD', list[1], doc.listed.how, doc.now_us, doc.listed.cid)
    redis.call('ZREMRANGEBYRANK', list[1], 0, -1 - tonumber(list[2]))
    redis.call('EXPIRE', list[1], trail_ttl)
  end
  local oldest = tonumber(doc.now_us) - tonumber(trail_ttl) * 1e6
  redis.call('ZREMRANGEBYSCORE', doc.listed.limits[1][1], '-inf', string.format('(%.0f', oldest))
end

for _, job in ipairs(doc.jobs) do enqueue(job, doc.now) end
append(doc.trail)
redis.call('SET', claim, '1', 'EX', claim_ttl)
return 'taken'
