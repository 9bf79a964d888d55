-- include: lib/expiry
-- Append lines to a call's trail, which keeps its latest `length` lines. A trail that has no expiry gets `ttl_s`.
local function append_to_trail(trail, lines, length, ttl_s)
  if #lines == 0 then return end
  for _, line in ipairs(lines) do redis.call('RPUSH', trail, line) end
  redis.call('LTRIM', trail, -tonumber(length), -1)
  expire_unless_set(trail, ttl_s)
end
