-- After an attempt: what was sent is sent for good, what was not is free again; and what happened goes on the trail.
-- Only this run's own claims change.
-- KEYS: round, trail
-- ARGV: kind of push, worker|run, ttl s of a trail that has none, trail length, number of devices, then device, "sent" or "free", …, trail lines …
local round, trail, owner = KEYS[1], KEYS[2], ARGV[2] .. '|'
local devices = tonumber(ARGV[5])
for i = 6, 5 + 2 * devices, 2 do
  local field = 's:' .. ARGV[1] .. ':' .. ARGV[i]
  local claim = redis.call('HGET', round, field)
  if claim and string.sub(claim, 1, #owner) == owner then
    if ARGV[i + 1] == 'sent' then redis.call('HSET', round, field, 'sent') else redis.call('HDEL', round, field) end
  end
end
local lines = {}
for i = 6 + 2 * devices, #ARGV do lines[#lines + 1] = ARGV[i] end
if #lines > 0 then
  redis.call('RPUSH', trail, unpack(lines))
  redis.call('LTRIM', trail, -tonumber(ARGV[4]), -1)
  if redis.call('TTL', trail) < 0 then redis.call('EXPIRE', trail, ARGV[3]) end
end
