-- Apply one event: update the call's stamps, open its round, queue its job, and claim its webhook id.
-- Redis does not undo what a script wrote before an error. So the claim is written last, and every write may be repeated: after
-- an error nothing is claimed, and Stream's repeat does the rest.
-- If this runs again because the answer was lost, it returns "already" and changes nothing but the trail.
-- KEYS
--   1 the claim of the webhook   2 the call   3 the trail   4 the agenda   5 traces of forgotten rounds
--   6 the claim of an older version, by the webhook's id
--   if a round begins: 7 start of the rounds' keys   8 the round
--   then those of the jobs, and the lists of the latest calls
-- ARGV
--   1 length of a trail   2 seconds to keep the claim   3 a call   4 a call with an open round   5 the trail, from now
--   6 what to do as MessagePack, every number in it a string (bellhop/store/call_scripts.py describes it)
-- Returns "taken" or "already"; "put_off" if too many jobs of the tenant wait. Then only the trail changes.
-- include: lib/enqueue
-- include: lib/history
-- include: lib/rounds
-- include: lib/repeats
-- include: lib/trail
local claim, call, trail, agenda, traces, claim_by_id = unpack(KEYS, 1, 6)
local trail_length, claim_ttl, call_ttl, open_ttl, trail_ttl = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local doc = cmsgpack.unpack(ARGV[6])
-- For this time after a settle job was queued, the call's events queue no other, unless the job has settled the call.
local SETTLE_JOB_WAITS_US = 1000000

local claimed = redis.call('MGET', claim, claim_by_id)
if claimed[1] or claimed[2] then
  if doc.repeated ~= '' then
    count_repeat(claimed[1] and claim or claim_by_id, claimed[1] or claimed[2], trail, doc.repeated, trail_length)
  end
  redis.call('EXPIRE', trail, trail_ttl)
  return 'already'
end

-- Only an event that calls people is put off: an event that ends a ring always counts.
local waits
if doc.most_waiting then
  local keys = keys_of(doc.jobs[1])
  waits = waits_for_turn(doc.jobs[1], keys)
  if waits and redis.call('LLEN', keys.own) >= tonumber(doc.most_waiting) then
    push_to_trail(trail, { doc.put_off }, trail_length)
    redis.call('EXPIRE', trail, trail_ttl)
    return 'put_off'
  end
end

-- One command reads all that this event may change. An event may name all members of a call: its cost must not grow with
-- the number of members whose stamps are known already.
local names = { 'version', 'pruned', 'settle_job', doc.missed and 'forgotten' }
for _, stamp in ipairs(doc.stamps) do names[#names + 1] = stamp[1] end
for _, stamp in ipairs(doc.history) do names[#names + 1] = stamp[1] end
local begun = doc.round or doc.missed
if begun then names[#names + 1] = 'r:' .. begun.started_at end
local stored = read_fields(call, names)
local version = tonumber(stored.version or 0)

-- A call that is always in use, such as a lobby, never expires. Its outdated fields are removed from time to time.
if stored.pruned and tonumber(stored.pruned) < tonumber(doc.stale) then
  local fields, outdated = redis.call('HGETALL', call), {}
  for i = 1, #fields, 2 do
    local at = tonumber(string.match(fields[i], '^r:(%d+)$') or fields[i + 1])
    if at < tonumber(doc.stale) and fields[i] ~= 'version' then
      outdated[#outdated + 1] = fields[i]
      stored[fields[i]] = nil
    end
  end
  remove_fields(call, outdated)
end

-- All changes of the call's hash: name, value, …
local changes = {}
local function change(name, value)
  changes[#changes + 1] = name
  changes[#changes + 1] = value
  stored[name] = value
end

local is_new = {}
for _, stamp in ipairs(doc.stamps) do
  local name, value = stamp[1], stamp[2]
  local old = stored[name]
  if is_new[name] == nil then is_new[name] = not old end
  if not old or tonumber(value) > tonumber(old) then change(name, value) end
end

-- Of each name and session, the latest stamps are kept: so the order of events does not matter, and a call's hash has a limit.
-- A name without a stamp before this event has few now. Names that have no plain field are looked at from time to time: all
-- fields are read for that. So it is not done for participants: each has a few stamps, and a call may have thousands of them.
local function is_of_participant(session, name) return session ~= '' and string.find(name, '^[jl]:') end
local crowded = {}
for _, stamp in ipairs(doc.history) do
  if not stored[stamp[1]] then
    change(stamp[1], stamp[2])
    local _, session, name = read_history_field(stamp[1])
    local is_due = is_new[name] == nil and version % 16 == 0 and not is_of_participant(session, name)
    if is_new[name] == false or is_due then
      crowded[history_group(session, name)] = true
    end
  end
end

-- Returns the users, as a set, who were in a forgotten round that may be of this session.
local function in_forgotten_rounds(users, session, key)
  local names, owners, found = {}, {}, {}
  for _, user in ipairs(users) do
    local of_user = { ring_trace(session, user), missed_trace(session, user), ring_trace('', user), missed_trace('', user) }
    if session == '' then of_user = { any_ring_trace(user), any_missed_trace(user) } end
    for _, name in ipairs(of_user) do
      names[#names + 1] = name
      owners[name] = user
    end
  end
  for name in pairs(read_traces(key, names)) do found[owners[name]] = true end
  return found
end

-- A call.missed belongs to the rounds that rang its members. For members of no known round it opens a ringless round, which
-- then stands for every other call.missed of that session, in whatever order they arrive.
local function without_round(missed)
  local users, uncovered = {}, {}
  for i, recipient in ipairs(missed.recipients) do users[i] = recipient[1] end
  local of_session = rounds_where(rounds_of(redis.call('HGETALL', call)), function(_, session)
    return session == missed.session_id or session == '' or missed.session_id == ''
  end)
  local covered = first_rounds_with(users, of_session, KEYS[7], function(started_at, ringless)
    return ringless or started_at <= tonumber(missed.started_at)
  end)
  if stored.forgotten then
    for user in pairs(in_forgotten_rounds(users, missed.session_id, traces)) do covered[user] = true end
  end
  for _, recipient in ipairs(missed.recipients) do
    if not covered[recipient[1]] then uncovered[#uncovered + 1] = recipient end
  end
  return uncovered
end

local opened = doc.round
if doc.missed then
  doc.missed.recipients = without_round(doc.missed)
  if #doc.missed.recipients > 0 then opened = doc.missed end
end

-- Stamps that are already known may end a round that is only opened now: then it must be settled at once.
local is_known = stored.version ~= nil or #changes > 0
local round_field = opened and 'r:' .. opened.started_at
local was_opened = opened and stored[round_field]
if opened and not was_opened then change(round_field, opened.session_id) end

-- The version changes in the same command: a script that settles what it read before must see that the call has changed, even
-- if this script fails halfway.
if #changes > 0 or opened then
  change('version', version + 1)
  if not stored.pruned then change('pruned', doc.now_us) end
  write_fields(call, changes)
end

if next(crowded) then remove_fields(call, outdated_history(redis.call('HGETALL', call), crowded, tonumber(doc.history_kept))) end

if opened then
  local fields = { 'facts', opened.facts }
  if opened.ringless then fields = { 'facts', opened.facts, 'ringless', '1' } end
  for _, recipient in ipairs(opened.recipients) do
    fields[#fields + 1] = 'u:' .. recipient[1]
    fields[#fields + 1] = recipient[2]
  end
  -- What an earlier event of this round has written stays as it is.
  local write = was_opened and write_missing_fields or write_fields
  local round = KEYS[8]
  write(round, fields)
  redis.call('EXPIRE', round, open_ttl)
  redis.call('ZADD', agenda, 'LT', is_known and math.floor(doc.now_us / 1000) or opened.settle_at_ms, doc.member)
end
local is_open = opened or redis.call('ZSCORE', agenda, doc.member)
redis.call('EXPIRE', call, is_open and open_ttl or call_ttl)
if doc.settle_open and is_open then redis.call('ZADD', agenda, 'XX', 'LT', math.floor(doc.now_us / 1000), doc.member) end

-- A job that settles the call has nothing to do if every round is closed. That is usual when a call ends.
if doc.jobs_need_open and not is_open then doc.jobs = {} end
-- A settle job that still waits reads the call after this event. If it has read the call already, it reads it again, since the
-- version has changed. The job may be lost. Or an older worker ran it, which does not remove the field `settle_job`. So the
-- watchdog looks at the call when the field's time is over.
local waits_until = tonumber(stored.settle_job or 0) + SETTLE_JOB_WAITS_US
if doc.jobs_settle and is_open and waits_until > tonumber(doc.now_us) then
  doc.jobs = {}
  redis.call('ZADD', agenda, 'XX', 'LT', math.floor(waits_until / 1000), doc.member)
end

-- The lists of the tenant's latest calls (bellhop/call_index.py). Calls that have no trail any more leave them.
local listed = doc.listed
if listed then
  local calls, lines = unpack(KEYS, tonumber(listed.first_key), tonumber(listed.first_key) + 1)
  local added = redis.call('ZADD', calls, listed.how, doc.now_us, listed.cid) == 1
  if added then redis.call('ZREMRANGEBYRANK', calls, 0, -1 - tonumber(listed.most)) end
  redis.call('EXPIRE', calls, trail_ttl)
  local oldest = tonumber(doc.now_us) - tonumber(trail_ttl) * 1e6
  redis.call('ZREMRANGEBYSCORE', calls, '-inf', string.format('(%.0f', oldest))
  -- A search compares the ids and names. A call that only goes on has a line already.
  if listed.how == 'GT' or added then
    local most = tonumber(listed.most_lines)
    if redis.call('LPUSH', lines, listed.line) > most then redis.call('LTRIM', lines, 0, most - 1) end
    redis.call('EXPIRE', lines, trail_ttl)
  end
end

-- Each key that is written from here on may have the wrong type. Even then, the trail must not have a line of an event that was
-- not taken, and a job must not be on its queue twice.
for _, job in ipairs(doc.jobs) do store_job(job, keys_of(job), doc.now, 'queued') end
if waits == nil and doc.jobs[1] then waits = waits_for_turn(doc.jobs[1], keys_of(doc.jobs[1])) end
local lines = { doc.trail, waits and doc.waits or nil }
push_to_trail(trail, lines, trail_length)
redis.call('EXPIRE', trail, trail_ttl)
for _, job in ipairs(doc.jobs) do
  local failure = put_on_queue(job, keys_of(job), waits)
  if failure then
    redis.call('RPOP', trail, #lines)
    return failure
  end
end
-- This is written after the job is queued: if this script fails halfway, the next run must queue it.
if doc.jobs_settle and doc.jobs[1] and is_open and is_known then redis.call('HSET', call, 'settle_job', doc.now_us) end
redis.call('SET', claim, '1', 'EX', claim_ttl)
return 'taken'
