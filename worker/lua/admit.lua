-- The fence: which of these devices may be sent this push right now? Asked before every attempt.
-- A device is claimed for one run of one worker. The claim holds while that worker lives and the attempt may still be
-- under way; "sent" holds for good.
-- KEYS: call, round
-- ARGV: kind of push, round's start µs, session, callers as JSON, deadline µs, worker, run, attempt lease µs, ttl s,
--       prefix of the rounds' keys, then user, device, …
-- include: standing
-- include: later_rounds
local call, round = KEYS[1], KEYS[2]
local kind, start, session, callers, deadline =
  ARGV[1], tonumber(ARGV[2]), ARGV[3], cjson.decode(ARGV[4]), tonumber(ARGV[5])
local worker, run, lease, ttl, rounds = ARGV[6], ARGV[7], tonumber(ARGV[8]), ARGV[9], ARGV[10]

local users, fields = {}, {}
for i = 11, #ARGV, 2 do
  users[#users + 1] = ARGV[i]
  fields[#fields + 1] = 's:' .. kind .. ':' .. ARGV[i + 1]
end
local words, now = standings(call, start, session, callers, users), now_us()
local claims = {}
for i, claim in ipairs(redis.call('HMGET', round, unpack(fields))) do claims[fields[i]] = claim end

local function held(claim)
  local owner, owner_run, till = string.match(claim, '^(.*)|(.*)|(%d+)$')
  if owner == worker and owner_run == run then return false end
  return tonumber(till) > now and redis.call('EXISTS', 'bellhop:worker:' .. owner) == 1
end

local later = kind == 'missed' and later_rounds(call, start, rounds) or {}

-- A missed-call notice goes out because the ring is over: an answer makes it untrue, and a later round takes it over,
-- since on Android it would end that one's ring.
local function untimely(user, word)
  if word == 'answered' then return word end
  return rung_again(later, user) and 'rung_again'
end

local answer, taken = {}, {}
for i = 1, #users do
  local field, word = fields[i], words[i]
  if kind == 'missed' then word = untimely(users[i], word) end
  if not word and now >= deadline then word = 'too_late' end
  if not word and claims[field] == 'sent' then word = 'duplicate' end
  if not word and claims[field] and held(claims[field]) then word = 'held' end
  if not word then
    taken[#taken + 1] = field
    taken[#taken + 1] = worker .. '|' .. run .. '|' .. string.format('%.0f', now + lease)
    claims[field] = 'sent'  -- a token that is just moving from one user to another is asked about twice
  end
  answer[i] = word or 'go'
end
if #taken > 0 then
  redis.call('HSET', round, unpack(taken))
  if redis.call('TTL', round) < 0 then redis.call('EXPIRE', round, ttl) end
end
return answer
