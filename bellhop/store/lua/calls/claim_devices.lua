-- The fence: may each of these devices be sent this push right now? Run before every attempt.
-- A device is claimed for one run of one worker (see lib/claim.lua) for as long as the attempt may take. A device with "sent"
-- in the place of a claim is never sent this push again. An orphaned claim stands for an attempt with an unknown result: its
-- device gets no other answer until record_lost_attempts.lua has put that attempt on the trail.
-- A worker without a lease claims nothing: another worker may be running its jobs.
-- Whether each token still belongs to its user is not known here: the caller reads that right before, in the same packet.
-- KEYS
--   1 the call   2 the round   3 the lease of the worker   4 the clock of its Stream app   5 traces of forgotten rounds
--   6 start of the rounds' keys   7 start of the keys of all leases
-- ARGV
--   1 kind of push; of a repetition, with its number (alert_ring.2)   2 start of the round µs   3 session
--   4 callers as JSON   5 deadline µs   6 worker   7 run
--   8 length of the claim µs   9 seconds to keep a round that has no expiry   10 deadline of the round µs
--   11 how far Redis's clock is ahead of Stream's µs, if the worker read it a moment ago, else ""
--   12 "1" to write down for whom each device is rung: a phone may report it with its ticket
--   13 of a second ring: for each device, the device by which its phone was rung, as JSON; else ""
--   14 the devices, by key, whose phones show the push as an alert that rings, as JSON; "" for none
--   then for each device: 15 user, 16 device key, …
-- Returns the time left µs, how far Redis's clock is ahead of Stream's µs ("" if it was not read), then for each device "go", the reason why not, or "orphaned " and the claim.
-- include: lib/standing
-- include: lib/claim
-- include: lib/expiry
-- include: lib/stream_clock
local call, round, rounds, leases = KEYS[1], KEYS[2], KEYS[6], KEYS[7]
local kind, start, session, callers, deadline =
  ARGV[1], tonumber(ARGV[2]), ARGV[3], cjson.decode(ARGV[4]), tonumber(ARGV[5])
local worker, run, length, ttl = ARGV[6], ARGV[7], tonumber(ARGV[8]), ARGV[9]

local users, devices, fields, ringing_alerts = {}, {}, {}, {}
for _, device in ipairs(ARGV[14] ~= '' and cjson.decode(ARGV[14]) or {}) do ringing_alerts[device] = true end
for i = 15, #ARGV, 2 do
  users[#users + 1] = ARGV[i]
  devices[#devices + 1] = ARGV[i + 1]
  fields[#fields + 1] = 's:' .. kind .. ':' .. ARGV[i + 1]
end
local the_round = {
  start = start, session = session, callers = callers, deadline = tonumber(ARGV[10]), over = kind == 'missed' or kind == 'ring_over',
  traces = KEYS[5],
}
local reasons, rung_later = standings(call, the_round, users, rounds)
local now = now_us()
local known_ahead, read_ahead = tonumber(ARGV[11]), nil
local left = known_ahead and deadline - (now - known_ahead) or 0
-- The known difference may have changed since it was read: before a push is refused as too late, it is read again.
if left <= 0 then
  read_ahead = redis_ahead_us(KEYS[4])
  left = deadline - (now - read_ahead)
end
local has_lease = redis.call('EXISTS', KEYS[3]) == 1
local names = { 'facts', unpack(fields) }
-- A phone gets no second ring if it has reported in this round with the ticket of one of its two tokens. A web process of an
-- older version writes only `rang:`.
local reports = {}
for i, rung in ipairs(ARGV[13] ~= '' and cjson.decode(ARGV[13]) or {}) do
  local device = devices[i]
  reports[i] = { 'reports:' .. rung, 'reports:' .. device, 'rang:' .. rung, 'rang:' .. device }
  for _, name in ipairs(reports[i]) do names[#names + 1] = name end
end
-- The last alert that rang the phone is in `alert:<device>`: the kind in the name of its claim, and when it was claimed. The push
-- that replaces it on the phone waits until it has ended: if Apple took the alert last, the phone would show it for good.
local alerts = {}
if the_round.over then
  for i = 1, #users do
    alerts[i] = 'alert:' .. devices[i]
    names[#names + 1] = alerts[i]
  end
end
local claims = read_fields(round, names)
local function alert_is_being_sent(i)
  local alert = alerts[i] and claims[alerts[i]]
  if not alert then return false end
  local claim = redis.call('HGET', round, 's:' .. string.match(alert, '^[^|]*') .. ':' .. devices[i])
  return claim and claim ~= 'sent' and held_by_another(claim, worker, run, now, leases)
end
local function has_reported(i)
  for _, name in ipairs(reports[i] or {}) do
    if claims[name] then return true end
  end
  return false
end

-- A later ring has pushes of its own: a second ring for the same call would ring the phone twice, and on Android a notice
-- would end the later ring.
local later = kind == 'notification' and {} or rung_later()

local answer, claimed = { string.format('%.0f', left), read_ahead and string.format('%.0f', read_ahead) or '' }, {}
for i = 1, #users do
  local field, reason = fields[i], reasons[i]
  -- A missed-call notice goes out because the call is over: it is untrue if
  -- the user has answered, declined or been removed.
  if kind == 'missed' and not needs_no_notice[reason] then reason = nil end
  -- A push that ends a ring is sent only if the ring is over: another webhook may have shown that it goes on.
  if kind == 'ring_over' then reason = not reason and 'still_rings' or nil end
  if not reason and left <= 0 then reason = 'too_late' end
  if not reason and claims[field] == 'sent' then reason = 'duplicate' end
  if not reason and has_reported(i) then reason = 'reported' end
  if not reason and later[users[i]] then reason = 'rung_again' end
  if not reason and not has_lease then reason = 'no_lease' end
  if not reason and (held_by_another(claims[field], worker, run, now, leases) or alert_is_being_sent(i)) then reason = 'held' end
  if is_orphaned(claims[field], worker, run, now, leases) then reason = 'orphaned ' .. claims[field] end
  if not reason then
    claimed[#claimed + 1] = field
    claimed[#claimed + 1] = new_claim(worker, run, now + length)
    local device = devices[i]
    if ARGV[12] == '1' then
      claimed[#claimed + 1] = 'to:' .. device
      claimed[#claimed + 1] = users[i]
    end
    if ringing_alerts[device] then
      claimed[#claimed + 1] = 'alert:' .. device
      claimed[#claimed + 1] = kind .. '|' .. string.format('%.0f', now)
    end
    claims[field] = 'sent'  -- a device may stand here twice, while its token moves from one user to another
  end
  answer[#answer + 1] = reason or 'go'
end
if #claimed > 0 then
  redis.call('HSET', round, unpack(claimed))
  -- A round with its facts has an expiry.
  if not claims.facts then expire_unless_set(round, ttl) end
end
return answer
