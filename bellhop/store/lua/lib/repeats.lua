-- include: lib/trail
-- Repeats of a webhook are one line of the trail with a counter, so that they do not push other lines out. The claim keeps the
-- counter and the line of the first repeat: "1" before it, then "<counter> <line>".
local function line_of_repeat(first, times)
  return times == 1 and first or string.sub(first, 1, -3) .. ',"N":' .. times .. '}]'
end

-- Count a repeat. `value` is what the claim holds, `line` what the trail gets if this is the first one.
local function count_repeat(claim, value, trail, line, length)
  local times, first = string.match(value, '^(%d+) (.*)$')
  times, first = tonumber(times or 0), first or line
  local position = times > 0 and redis.call('LPOS', trail, line_of_repeat(first, times), 'RANK', -1)
  local counted = line_of_repeat(first, times + 1)
  if position then redis.call('LSET', trail, position, counted) else push_to_trail(trail, { counted }, length) end
  redis.call('SET', claim, times + 1 .. ' ' .. first, 'KEEPTTL')
end
