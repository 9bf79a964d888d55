-- include: lib/clock
-- include: lib/history
-- include: lib/rounds
-- Where does each user stand in a round? This is bellhop/domain/standing.py in Lua, by the stamps alone.

-- With these standings, a missed-call notice would be untrue.
local needs_no_notice = { answered = true, declined = true, missed_quietly = true, removed = true }

local NEAR_US = 1500000
local NEVER = math.huge

local function first_of(moments)
  local first = NEVER
  for _, at in ipairs(moments) do first = math.min(first, at) end
  return first
end

local function contains(moments, wanted)
  for _, at in ipairs(moments) do
    if at == wanted then return true end
  end
  return false
end

-- Returns the sessions of forgotten rounds that stamps name. `fields` is the call's hash, `known` a set of sessions.
local function forgotten_sessions(fields, known, traces)
  local sessions, names, found = {}, {}, {}
  for i = 1, #fields, 2 do
    local _, session = read_history_field(fields[i])
    if session and not known[session] and not sessions[session_trace(session)] then
      names[#names + 1] = session_trace(session)
      sessions[names[#names]] = session
    end
  end
  for name in pairs(read_traces(traces, names)) do found[#found + 1] = sessions[name] end
  return found
end

-- Returns whether any stamp was made at this time or later. While phones ring for the first time, usually none was.
local function stamped_since(start, fields)
  for i = 1, #fields, 2 do
    local name = fields[i]
    -- A round's field, `r:…`, holds a session.
    if name ~= 'pruned' and string.sub(name, 1, 2) ~= 'r:' and (tonumber(fields[i + 1]) or 0) >= start then return true end
  end
  return false
end

-- Takes the call's hash as HGETALL returns it, and its rounds. Returns what `standings` returns.
local function standings_by_stamps(fields, rounds, round, users, prefix)
  local all_of, plain, all_names = stamps_by_name(fields)
  local start, deadline, session = round.start, round.deadline, round.session

  local sessions, forgotten = {}, plain('forgotten')
  for _, other in ipairs(rounds) do sessions[other.session] = true end
  local earlier_rings = rounds_where(rounds, function(started_at, of_session)
    return started_at < start and of_session == session
  end)
  local last_rung = first_rounds_with(users, earlier_rings, prefix)
  if forgotten then
    local traces = {}
    for i, user in ipairs(users) do traces[i] = ring_trace(session, user) end
    local rung_at = read_traces(round.traces, traces)
    for i, user in ipairs(users) do
      local at = rung_at[traces[i]]
      if at and at < start then last_rung[user] = math.max(at, last_rung[user] or at) end
    end
    for _, other in ipairs(forgotten_sessions(fields, sessions, round.traces)) do sessions[other] = true end
  end

  local function since(name, earliest)
    local moments = {}
    for _, stamp in ipairs(all_of(name)) do
      if stamp.at >= (earliest or start) then moments[#moments + 1] = stamp.at end
    end
    return moments
  end

  -- A rejection in the session of another round is about that round.
  local function rejections(name, earliest)
    local moments = {}
    for _, stamp in ipairs(all_of(name)) do
      local elsewhere = session ~= '' and stamp.session ~= '' and stamp.session ~= session and sessions[stamp.session]
      if stamp.at >= (earliest or start) and not elsewhere then moments[#moments + 1] = stamp.at end
    end
    return moments
  end

  local function last_left(user)
    local last = -1
    for _, stamp in ipairs(all_of('l:' .. user)) do last = math.max(last, stamp.at) end
    return last
  end

  -- A user is in the call on one device, or about to join since the user has answered.
  local function is_in(user)
    if (plain('a:' .. user) or -1) > last_left(user) then return true end
    local left = {}
    for _, stamp in ipairs(all_of('l:' .. user)) do left[stamp.session] = true end
    for _, stamp in ipairs(all_of('j:' .. user)) do
      if not left[stamp.session] then return true end
    end
    return false
  end

  -- When the last caller left the call during the round, if nobody else was in it.
  local function left_alone()
    local last = -1
    for _, caller in ipairs(round.callers) do last = math.max(last, last_left(caller)) end
    if last < start then return NEVER end
    for name in pairs(all_names()) do
      local kind = string.sub(name, 1, 2)
      if kind == 'a:' or kind == 'j:' or kind == 'l:' then
        local user = string.sub(name, 3)
        if last_left(user) > last or is_in(user) then return NEVER end
      end
    end
    return last
  end

  local cancelled, gave_up = left_alone(), {}
  for _, caller in ipairs(round.callers) do
    cancelled = math.min(cancelled, first_of(rejections('x:' .. caller)))
    for _, at in ipairs(rejections('t:' .. caller)) do gave_up[#gave_up + 1] = at end
  end
  local ended = math.min(first_of(since('ended')), first_of(since('ended:' .. session)))

  -- The call forgets only settled rounds. Their notices may still wait for a worker, and the stamps that made them due are gone.
  local was_settled = round.over and forgotten and forgotten >= start

  local function standing_of(user)
    if was_settled then return (plain('a:' .. user) or -1) >= start and 'answered' end
    local rung_at = last_rung[user]
    local rung_before = rung_at ~= nil

    -- If the user was rung before in this session, phones may still reject that ring: shortly after the user has rejected it.
    -- If that is not known, it may be in the first moment of this ring.
    local own_from = start
    if rung_before then
      local before = -1
      for _, at in ipairs(rejections('x:' .. user, rung_at)) do
        if at < start then before = math.max(before, at) end
      end
      own_from = math.max(start, (before >= 0 and before or start) + NEAR_US)
    end
    local function own(letter) return rejections(letter .. user, own_from) end

    local quietly, loudly = 'q:' .. session .. ':' .. user, 'm:' .. session .. ':' .. user
    local earliest = rung_before and math.max(start, deadline) or start
    local surely_missed = math.min(first_of(since(quietly, earliest)), first_of(since(loudly, earliest)))
    local removed = first_of(since('k:' .. user))
    local ended_by_others = math.min(cancelled, ended, surely_missed, removed)

    local timeouts, in_words = own('t:'), own('w:')
    local function near_the_end(at)
      for _, timeout in ipairs(timeouts) do
        if math.abs(at - timeout) <= NEAR_US then return true end
      end
      return math.abs(at - deadline) <= NEAR_US
    end
    local function in_time(at) return deadline == 0 or at <= deadline + NEAR_US end

    local busy, timeout, decline = first_of(own('b:')), first_of(timeouts), NEVER
    for _, at in ipairs(own('d:')) do
      if in_time(at) then
        if near_the_end(at) and not contains(in_words, at) then
          timeout = math.min(timeout, at)
        else
          decline = math.min(decline, at)
        end
      end
    end

    local explained = {}
    for _, letter in ipairs({ 'd:', 'b:', 't:', 'p:' }) do
      for _, stamp in ipairs(all_of(letter .. user)) do explained[stamp.at] = true end
    end
    local unexplained = NEVER
    for _, at in ipairs(own('x:')) do
      if not explained[at] and in_time(at) then unexplained = math.min(unexplained, at) end
    end

    local may_be_earlier = not round.over and rung_before and surely_missed == NEVER
    local over = unexplained < ended_by_others and (near_the_end(unexplained) and 'timed_out' or 'declined')
      or cancelled < NEVER and (contains(gave_up, cancelled) and 'no_answer' or 'cancelled')
      or ended < NEVER and 'ended'
    if (plain('a:' .. user) or -1) >= start then return 'answered' end
    if decline < math.min(busy, timeout, ended_by_others) then return 'declined' end
    local was_busy, has_timed_out = busy < ended_by_others, timeout < ended_by_others
    local was_removed = removed < math.min(cancelled, ended, surely_missed)
    -- A call.missed alone does not end the ring if it may be about an earlier ring.
    if may_be_earlier and not (over or was_busy or has_timed_out or was_removed) then return false end
    if since(quietly)[1] then return 'missed_quietly' end
    if was_busy then return 'busy' end
    if has_timed_out then return 'timed_out' end
    if was_removed then return 'removed' end
    if since(loudly)[1] then return 'missed' end
    return over
  end

  local result = {}
  for i, user in ipairs(users) do result[i] = standing_of(user) end

  local function rung_later()
    local later = rounds_where(rounds, function(started_at) return started_at > start end)
    local found = first_rounds_with(users, later, prefix)
    if forgotten and forgotten > start then
      local traces = {}
      for i, user in ipairs(users) do traces[i] = any_ring_trace(user) end
      local rung_at = read_traces(round.traces, traces)
      for i, user in ipairs(users) do
        if (rung_at[traces[i]] or start) > start then found[user] = rung_at[traces[i]] end
      end
    end
    return found
  end
  return result, rung_later
end

-- `round` is a table: `start` and `deadline` (unix µs), `session`, `callers` (a list), `over`, which is true if the round
-- is known to be over, and `traces`, the key with the traces of forgotten rounds. `prefix` is the start of the rounds' keys.
-- Returns one standing for each user, or false while the phone should ring. It also returns a function that returns the users,
-- as a set, whom a later ring of the call rings too: they get the missed-call notice of that ring.
local function standings(call, round, users, prefix)
  local fields = redis.call('HGETALL', call)
  local rounds, ringing = rounds_of(fields), {}
  if stamped_since(round.start, fields) then return standings_by_stamps(fields, rounds, round, users, prefix) end
  for i = 1, #users do ringing[i] = false end
  return ringing, function()
    return first_rounds_with(users, rounds_where(rounds, function(started_at) return started_at > round.start end), prefix)
  end
end
