-- include: lib/fields
-- A result must not stay longer than the webhook that explains it: results leave a trail first, then webhooks, and last the
-- webhooks that begin a round. A ring that a bound turned away begins no round, and may come many times a minute: its line
-- leaves with the results.
local function order_of_leaving(line)
  if string.sub(line, 1, 13) ~= '[2,"received"' or string.find(line, '"o":"%a+_limit"') then return 1 end
  return string.find(line, '"r":', 1, true) and 3 or 2
end

-- Remove `count` lines from the older ones of a trail.
local function remove_old_lines(trail, count)
  local oldest, leaves, left = redis.call('LRANGE', trail, 0, 2 * count - 1), {}, count
  for order = 1, 3 do
    for i, line in ipairs(oldest) do
      if left > 0 and order_of_leaving(line) == order then
        leaves[i] = true
        left = left - 1
      end
    end
  end
  redis.call('LTRIM', trail, #oldest, -1)
  local stay = {}
  for i = #oldest, 1, -1 do
    if not leaves[i] then stay[#stay + 1] = oldest[i] end
  end
  in_parts(stay, function(...) redis.call('LPUSH', trail, ...) end)
end

-- Append lines to a call's trail, which keeps its latest `length` lines. The caller sets the trail's expiry.
-- Returns whether the trail is new.
local function push_to_trail(trail, lines, length)
  local lines_now = 0
  in_parts(lines, function(...) lines_now = redis.call('RPUSH', trail, ...) end)
  -- A hundredth more, so that a long trail is not shortened at each line.
  if lines_now > tonumber(length) then remove_old_lines(trail, lines_now - length + math.floor(length / 100)) end
  return lines_now == #lines
end

-- The same. A new trail gets an expiry; any other has one.
local function append_to_trail(trail, lines, length, ttl_s)
  if #lines > 0 and push_to_trail(trail, lines, length) then redis.call('EXPIRE', trail, ttl_s) end
end

-- Removes the lines of attempts that counted as lost, of one run and these devices (device key -> true). Each line names the
-- run of its claim (worker/lost_attempts.py).
local function remove_lost_attempts(trail, run, devices, length)
  for _, line in ipairs(redis.call('LRANGE', trail, -tonumber(length), -1)) do
    local is_of_run = string.find(line, '"o":"worker_died"', 1, true) and string.find(line, '"i":"' .. run .. '"', 1, true)
    if is_of_run and devices[string.match(line, '"d":"(%x+)"')] then redis.call('LREM', trail, -1, line) end
  end
end

-- Returns those lines that are not among the latest `length` lines of a trail.
local function lines_not_on(trail, lines, length)
  local known, missing = {}, {}
  for _, line in ipairs(redis.call('LRANGE', trail, -tonumber(length), -1)) do known[line] = true end
  for _, line in ipairs(lines) do
    if not known[line] then missing[#missing + 1] = line end
  end
  return missing
end
