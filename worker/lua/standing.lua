-- Where does each user stand in a round? The twin of worker/calls.py:standing, in one HMGET.
-- `start` is a number (unix µs); the answer holds a word for each user, or false while the phone should ring.
local USER_MARKS = {
  { 'a:', 'answered' }, { 'd:', 'declined' }, { 'q:', 'missed_quietly' },
  { 'b:', 'busy' }, { 't:', 'timed_out' }, { 'm:', 'missed' },
}

local function since(stamp, start)
  return stamp and tonumber(stamp) >= start
end

local function standings(call, start, session, users)
  local fields = { 'cancelled', 'ended', 'ended:' .. session }
  for _, user in ipairs(users) do
    for _, mark in ipairs(USER_MARKS) do fields[#fields + 1] = mark[1] .. user end
  end
  local stamps = redis.call('HMGET', call, unpack(fields))
  local over = since(stamps[1], start) and 'cancelled'
    or (since(stamps[2], start) or since(stamps[3], start)) and 'ended'
  local result = {}
  for i = 1, #users do
    local word = over
    for j = #USER_MARKS, 1, -1 do
      if since(stamps[3 + (i - 1) * #USER_MARKS + j], start) then word = USER_MARKS[j][2] end
    end
    result[i] = word
  end
  return result
end

local function now_us()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end
