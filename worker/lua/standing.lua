-- include: clock
-- Where does each user stand in a round? The twin of worker/domain/calls.py:standing, in one HMGET.
-- `start` is a number (unix µs); the answer holds a word for each user, or false while the phone should ring.
local function since(stamp, start)
  return stamp and tonumber(stamp) >= start
end

local function standings(call, start, session, callers, users)
  local marks = {
    { 'a:', 'answered' }, { 'd:', 'declined' }, { 'q:' .. session .. ':', 'missed_quietly' },
    { 'b:', 'busy' }, { 't:', 'timed_out' }, { 'm:' .. session .. ':', 'missed' },
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
  local result = {}
  for i = 1, #users do
    local word = over
    for j = #marks, 1, -1 do
      if since(stamps[for_all + (i - 1) * #marks + j], start) then word = marks[j][2] end
    end
    result[i] = word
  end
  return result
end
