-- include: lib/expiry
-- Append lines to a call's trail, which keeps its latest `length` lines. The caller sets the trail's expiry.
local function push_to_trail(trail, lines, length)
  for _, line in ipairs(lines) do redis.call('RPUSH', trail, line) end
  redis.call('LTRIM', trail, -tonumber(length), -1)
end

-- The same. A trail that has no expiry gets `ttl_s`.
local function append_to_trail(trail, lines, length, ttl_s)
  if #lines == 0 then return end
  push_to_trail(trail, lines, length)
  expire_unless_set(trail, ttl_s)
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
