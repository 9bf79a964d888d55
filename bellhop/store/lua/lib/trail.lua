-- include: lib/fields
-- Append lines to a call's trail, which keeps its latest `length` lines. The caller sets the trail's expiry.
-- Returns whether the trail is new.
local function push_to_trail(trail, lines, length)
  local lines_now = 0
  in_parts(lines, function(...) lines_now = redis.call('RPUSH', trail, ...) end)
  if lines_now > tonumber(length) then redis.call('LTRIM', trail, -tonumber(length), -1) end
  return lines_now == #lines
end

-- The same. A new trail gets an expiry; any other has one.
local function append_to_trail(trail, lines, length, ttl_s)
  if #lines > 0 and push_to_trail(trail, lines, length) then redis.call('EXPIRE', trail, ttl_s) end
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
