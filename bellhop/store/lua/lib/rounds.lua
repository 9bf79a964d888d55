-- Takes a call's hash as HGETALL returns it. Returns its rounds: the start of each (text, unix µs) and its session.
local function rounds_of(fields)
  local rounds = {}
  for i = 1, #fields, 2 do
    local started_at = string.match(fields[i], '^r:(%d+)$')
    if started_at then rounds[#rounds + 1] = { started_at = started_at, session = fields[i + 1] } end
  end
  return rounds
end

-- Takes rounds of a call. Returns the keys of those that rang users and for which `wanted(started_at, session)` is true.
local function keys_of_rings(rounds, prefix, wanted)
  local keys = {}
  for _, round in ipairs(rounds) do
    local key = prefix .. round.started_at
    if wanted(tonumber(round.started_at), round.session) and redis.call('HEXISTS', key, 'ringless') == 0 then
      keys[#keys + 1] = key
    end
  end
  return keys
end

-- Whether one of these rounds (keys) has the user among its recipients.
local function rung_in(rounds, user)
  for _, key in ipairs(rounds) do
    if redis.call('HEXISTS', key, 'u:' .. user) == 1 then return true end
  end
  return false
end

-- Takes rounds of a call. Returns the keys of the rings that began after `start`. Their recipients get the missed-call notice
-- of that ring.
local function later_rings(rounds, start, prefix)
  return keys_of_rings(rounds, prefix, function(started_at) return started_at > start end)
end
