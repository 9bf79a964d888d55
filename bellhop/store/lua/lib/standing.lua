-- include: lib/clock
-- include: lib/rounds
-- Where does each user stand in a round? This is bellhop/domain/call.py:standing in Lua, with one HMGET.
local function at_or_after(stamp, start)
  return stamp and tonumber(stamp) >= start
end

-- With these standings, a missed-call notice would be untrue.
local needs_no_notice = { answered = true, declined = true, missed_quietly = true }

-- `start` and `deadline` are numbers (unix µs); a deadline of 0 says that the round is known to be over. `prefix` is the start
-- of the rounds' keys. Returns one standing for each user, or false while the phone should ring.
local function standings(call, start, session, callers, users, deadline, prefix)
  local stamps_of_a_user = {
    { 'a:', 'answered' }, { 'd:', 'declined' }, { 'q:' .. session .. ':', 'missed_quietly' },
    { 'b:', 'busy' }, { 't:', 'timed_out' }, { 'm:' .. session .. ':', 'missed' }, { 'x:', 'declined' },
  }
  local fields = { 'ended', 'ended:' .. session }
  for _, caller in ipairs(callers) do fields[#fields + 1] = 'x:' .. caller end
  local for_all = #fields
  for _, user in ipairs(users) do
    for _, stamp in ipairs(stamps_of_a_user) do fields[#fields + 1] = stamp[1] .. user end
  end
  local stamps = redis.call('HMGET', call, unpack(fields))
  local over = (at_or_after(stamps[1], start) or at_or_after(stamps[2], start)) and 'ended'
  for i = 3, for_all do
    if at_or_after(stamps[i], start) then over = 'cancelled' end
  end

  local earlier
  local function rung_before(user)
    earlier = earlier or keys_of_rings(call, prefix, function(at, of) return at < start and of == session end)
    return rung_in(earlier, user)
  end

  local result = {}
  for i = 1, #users do
    -- A call.missed alone does not end the ring if it may be about an earlier ring; any other stamp does (`certain`).
    local standing, certain = over, over
    for j = #stamps_of_a_user, 1, -1 do
      local stamp = stamps[for_all + (i - 1) * #stamps_of_a_user + j]
      if at_or_after(stamp, start) then
        standing = stamps_of_a_user[j][2]
        local missed = standing == 'missed' or standing == 'missed_quietly'
        certain = certain or not missed or tonumber(stamp) >= deadline
      end
    end
    result[i] = (certain or not standing or not rung_before(users[i])) and standing
  end
  return result
end
