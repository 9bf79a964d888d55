-- The fence: which of these devices may be sent this push right now? Asked before every attempt.
-- A device is claimed for one run of one worker. The claim holds while that worker lives and the attempt may still be
-- under way; "sent" holds for good.
-- KEYS: call, round
-- ARGV: kind of push, round's start µs, session, callers as JSON, deadline µs, worker, run, attempt lease µs, ttl s,
--       prefix of the rounds' keys, prefix of the keys that name who has a token, then user, device, …
-- Returns the time left µs, then a word for each device.
-- include: lib/standing
local call, round = KEYS[1], KEYS[2]
local kind, start, session, callers, deadline =
  ARGV[1], tonumber(ARGV[2]), ARGV[3], cjson.decode(ARGV[4]), tonumber(ARGV[5])
local worker, run, lease, ttl, rounds, owners = ARGV[6], ARGV[7], tonumber(ARGV[8]), ARGV[9], ARGV[10], ARGV[11]

local users, fields, tokens = {}, {}, {}
for i = 12, #ARGV, 2 do
  users[#users + 1] = ARGV[i]
  fields[#fields + 1] = 's:' .. kind .. ':' .. ARGV[i + 1]
  tokens[#tokens + 1] = owners .. ARGV[i + 1]
end
local words, now = standings(call, start, session, callers, users, kind == 'missed' and 0 or deadline, rounds), now_us()
local whose = redis.call('MGET', unpack(tokens))
local claims = {}
for i, claim in ipairs(redis.call('HMGET', round, unpack(fields))) do claims[fields[i]] = claim end

local function held(claim)
  local owner, owner_run, till = string.match(claim, '^(.*)|(.*)|(%d+)$')
  if owner == worker and owner_run == run then return false end
  return tonumber(till) > now and redis.call('EXISTS', 'bellhop:worker:' .. owner) == 1
end

-- What makes a missed-call notice untrue. That the call is over does not: it is why the notice goes out.
local dealt_with = { answered = true, declined = true, missed_quietly = true }
-- A later round has pushes of its own: a second ring for the same call would ring the phone twice, and on Android a notice
-- would end the later ring.
local later = kind == 'notification' and {} or later_rounds(call, start, rounds)

local answer, taken = { string.format('%.0f', deadline - now) }, {}
for i = 1, #users do
  local field, word = fields[i], words[i]
  if kind == 'missed' and not dealt_with[word] then word = nil end
  if not word and now >= deadline then word = 'too_late' end
  if not word and claims[field] == 'sent' then word = 'duplicate' end
  if not word and whose[i] ~= users[i] then word = 'signed_out' end
  if not word and rung_in(later, users[i]) then word = 'rung_again' end
  if not word and claims[field] and held(claims[field]) then word = 'held' end
  if not word then
    taken[#taken + 1] = field
    taken[#taken + 1] = worker .. '|' .. run .. '|' .. string.format('%.0f', now + lease)
    claims[field] = 'sent'  -- a token that is just moving from one user to another is asked about twice
  end
  answer[#answer + 1] = word or 'go'
end
if #taken > 0 then
  redis.call('HSET', round, unpack(taken))
  if redis.call('TTL', round) < 0 then redis.call('EXPIRE', round, ttl) end
end
return answer
