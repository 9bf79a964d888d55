-- The fence: which of these devices may be sent this push right now? Asked before every attempt.
-- A device is claimed for one run of one worker. The claim holds while that worker lives and the attempt may still be
-- under way; "sent" holds for good.
-- KEYS: call, round
-- ARGV: kind of push, round's start µs, session, deadline µs, worker, run, attempt lease µs, ttl s, then user, device, …
-- include: standing
local call, round = KEYS[1], KEYS[2]
local kind, start, session, deadline = ARGV[1], tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])
local worker, run, lease, ttl = ARGV[5], ARGV[6], tonumber(ARGV[7]), ARGV[8]

local users, fields = {}, {}
for i = 9, #ARGV, 2 do
  users[#users + 1] = ARGV[i]
  fields[#fields + 1] = 's:' .. kind .. ':' .. ARGV[i + 1]
end
local words, claims, now = standings(call, start, session, users), redis.call('HMGET', round, unpack(fields)), now_us()

local function held(claim)
  local owner, owner_run, till = string.match(claim, '^(.*)|(.*)|(%d+)$')
  if owner == worker and owner_run == run then return false end
  return tonumber(till) > now and redis.call('EXISTS', 'bellhop:worker:' .. owner) == 1
end

local answer, taken = {}, {}
for i = 1, #users do
  local word = words[i]
  -- A missed-call notice goes out because the ring is over; only an answer makes it untrue.
  if kind == 'missed' and word ~= 'answered' then word = false end
  if not word and now >= deadline then word = 'too_late' end
  if not word and claims[i] and (claims[i] == 'sent' or held(claims[i])) then word = 'duplicate' end
  if not word then
    taken[#taken + 1] = fields[i]
    taken[#taken + 1] = worker .. '|' .. run .. '|' .. string.format('%.0f', now + lease)
  end
  answer[i] = word or 'go'
end
if #taken > 0 then
  redis.call('HSET', round, unpack(taken))
  if redis.call('TTL', round) < 0 then redis.call('EXPIRE', round, ttl) end
end
return answer
