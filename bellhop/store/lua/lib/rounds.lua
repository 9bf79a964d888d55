-- include: lib/fields
-- Takes a call's hash as HGETALL returns it. Returns its rounds, the latest first: the start of each (text, unix µs) and its
-- session. With `wanted(started_at, session)`, it returns only rounds for which this is true.
local function rounds_of(fields, wanted)
  local rounds = {}
  for i = 1, #fields, 2 do
    local started_at = string.match(fields[i], '^r:(%d+)$')
    if started_at and (not wanted or wanted(tonumber(started_at), fields[i + 1])) then
      rounds[#rounds + 1] = { started_at = started_at, session = fields[i + 1] }
    end
  end
  table.sort(rounds, function(a, b) return tonumber(a.started_at) > tonumber(b.started_at) end)
  return rounds
end

-- Reads rounds, one after the other, until each of these users is found among the recipients of one.
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

-- Returns the users whom a later ring of the call rings too, as a set. They get the missed-call notice of that ring.
-- `fields` is the call's hash as HGETALL returns it.
local function rung_later(users, fields, start, prefix)
  return first_rounds_with(users, rounds_of(fields, function(started_at) return started_at > start end), prefix)
end
