-- include: lib/fields
-- Takes a call's hash as HGETALL returns it. Returns its rounds, the latest first: the start of each (text, unix µs) and its
-- session.
local function rounds_of(fields)
  local rounds = {}
  for i = 1, #fields, 2 do
    local started_at = string.sub(fields[i], 1, 2) == 'r:' and string.match(fields[i], '^r:(%d+)$')
    if started_at then rounds[#rounds + 1] = { started_at = started_at, session = fields[i + 1] } end
  end
  table.sort(rounds, function(a, b) return tonumber(a.started_at) > tonumber(b.started_at) end)
  return rounds
end

-- Returns those of the rounds for which `wanted(started_at, session)` is true.
local function rounds_where(rounds, wanted)
  local found = {}
  for _, round in ipairs(rounds) do
    if wanted(tonumber(round.started_at), round.session) then found[#found + 1] = round end
  end
  return found
end

-- Reads rounds one after the other, until each of these users is found in a round.
-- Returns, by user, the start (µs) of the first round that has the user. A round without a ring does not count, unless
-- `counts(started_at, ringless)` is given and true.
local function first_rounds_with(users, rounds, prefix, counts)
  local found, missing = {}, users
  for _, round in ipairs(rounds) do
    if #missing == 0 then break end
    local names, still_missing = { 'ringless' }, {}
    for i, user in ipairs(missing) do names[i + 1] = 'u:' .. user end
    local fields, started_at = read_fields(prefix .. round.started_at, names), tonumber(round.started_at)
    local ringless = fields.ringless ~= nil
    local count = not ringless
    if counts then count = counts(started_at, ringless) end
    for _, user in ipairs(missing) do
      if count and fields['u:' .. user] then found[user] = started_at else still_missing[#still_missing + 1] = user end
    end
    missing = still_missing
  end
  return found
end

-- Forgotten rounds of a call (bellhop/domain/forgetting.py) leave traces: a sorted set whose scores are the starts (µs). A call
-- that has forgotten rounds has the field `forgotten`. The forms of the traces:
local function ring_trace(session, user) return 'r:' .. #session .. ':' .. session .. ':' .. user end
local function missed_trace(session, user) return 'm:' .. #session .. ':' .. session .. ':' .. user end
local function session_trace(session) return 's:' .. session end
local function any_ring_trace(user) return 'a:' .. user end
local function any_missed_trace(user) return 'b:' .. user end

-- Returns the scores by name.
local function read_traces(key, names)
  local scores = read_by_name('ZMSCORE', key, names)
  for name, score in pairs(scores) do scores[name] = tonumber(score) end
  return scores
end
