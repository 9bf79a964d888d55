-- After an attempt: what was sent is sent for good, what was not is free again; and what happened goes on the trail.
-- "sent" counts whoever has claimed the device since; only this run's own claims become free. Repeated because an answer was
-- lost, it changes nothing.
-- KEYS: round, trail
-- ARGV: kind of push, worker|run, ttl s of a trail that has none, trail length, number of devices, then device, "sent" or "free", …, trail lines …
local round, trail, owner = KEYS[1], KEYS[2], ARGV[2] .. '|'
local devices = tonumber(ARGV[5])
local known, ours = redis.call('EXISTS', round) == 1, 0
for i = 6, 5 + 2 * devices, 2 do
  local field = 's:' .. ARGV[1] .. ':' .. ARGV[i]
  local claim = redis.call('HGET', round, field)
  local mine = claim and string.sub(claim, 1, #owner) == owner
  if mine then ours = ours + 1 end
  if ARGV[i + 1] == 'sent' then
    if known then redis.call('HSET', round, field, 'sent') end
  elseif mine then
    redis.call('HDEL', round, field)
  end
end
local lines = {}
for i = 6 + 2 * devices, #ARGV do lines[#lines + 1] = ARGV[i] end
-- With a claim of ours still there, this is the first time; else the lines may be on the trail.
local first_time = ours > 0 or not lines[1] or not redis.call('LPOS', trail, lines[1], 'RANK', -1, 'MAXLEN', 1000)
if #lines > 0 and first_time then
  redis.call('RPUSH', trail, unpack(lines))
  redis.call('LTRIM', trail, -tonumber(ARGV[4]), -1)
  if redis.call('TTL', trail) < 0 then redis.call('EXPIRE', trail, ARGV[3]) end
end
