-- include: lib/clock
-- include: lib/rounds
-- Where does each user stand in a round? The twin of bellhop/domain/call.py:standing, in one HMGET.
-- `start` and `deadline` are numbers (unix µs; a deadline of 0 when the round is known to be over), `prefix` is that of the
-- rounds' keys; the answer holds a word for each user, or false while the phone should ring.
local function since(stamp, start)
  return stamp and tonumber(stamp) >= start
end

local function standings(call, start, session, callers, users, deadline, prefix)
  local marks = {
    { 'a:', 'answered' }, { 'd:', 'declined' }, { 'q:' .. session .. ':', 'missed_quietly' },
    { 'b:', 'busy' }, { 't:', 'timed_out' }, { 'm:' .. session .. ':', 'missed' }, { 'x:', 'declined' },
  }
  local fields = { 'ended', 'ended:' .. session }
  for _, caller in ipairs(callers) do fields[#fields + 1] = 'x:' .. caller end
  local for_all = #fields
  for _, user in ipairs(users) do
    for _, mark in ipairs(marks) do fields[#fields + 1] = mark[1] .. user end
  end
  local stamps = redis.call('HMGET', call, unpack(fields))
  local over = (since(stamps[1], start) or since(stamps[2], start)) and 'ended'
  for i = 3, for_all do
    if since(stamps[i], start) then over = 'cancelled' end
  end

  local earlier
  local function rung_before(user)
    earlier = earlier or rings(call, prefix, function(at, of) return at < start and of == session end)
    return rung_in(earlier, user)
  end

  local result = {}
  for i = 1, #users do
    -- The word, and whether anything else than a call.missed says that it is over.
    local word, sure = over, over
    for j = #marks, 1, -1 do
      local stamp = stamps[for_all + (i - 1) * #marks + j]
      if since(stamp, start) then
        word = marks[j][2]
        local missed = word == 'missed' or word == 'missed_quietly'
        sure = sure or not missed or tonumber(stamp) >= deadline
      end
    end
    result[i] = (sure or not word or not rung_before(users[i])) and word
  end
  return result
end
