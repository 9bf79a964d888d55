-- Read a call and all of its rounds as they stand, with Redis's clock.
-- KEYS: call  ARGV: prefix of the rounds' keys
-- include: lib/clock
local call = redis.call('HGETALL', KEYS[1])
local rounds = {}
for i = 1, #call, 2 do
  local started_at = string.match(call[i], '^r:(%d+)$')
  if started_at then rounds[#rounds + 1] = { started_at, redis.call('HGETALL', ARGV[1] .. started_at) } end
end
return { string.format('%.0f', now_us()), call, rounds }
