-- Put a missed call into the e-mail that collects calls for this user and caller; or begin an e-mail and schedule its job.
-- There is one e-mail for each window, and a call is put into one e-mail, however often this runs.
-- KEYS
--   1 the call   2 the round   3 the trail   4 the id of the open e-mail of this user and caller   5 traces of forgotten rounds
--   then those of the job
-- ARGV
--   1 user   2 start of the round µs   3 session   4 callers as JSON   5 start of the rounds' keys
--   6 seconds to keep a round that has no expiry   7 id of a new e-mail   8 start of the e-mails' keys   9 round as JSON
--   10 window s   11 now (ISO 8601)   12 job of a new e-mail as JSON   13 seconds to keep an e-mail
--   14 limit of calls that are kept whole   15 length of a trail   16 seconds to keep a trail that has no expiry
--   17 trail line
-- Returns "waiting", "already", or why no e-mail is due.
-- include: lib/standing
-- include: lib/enqueue
-- include: lib/expiry
-- include: lib/trail
local call, round, trail, open_email = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local user, start, rounds, emails, window = ARGV[1], tonumber(ARGV[2]), ARGV[5], ARGV[8], tonumber(ARGV[10])

local the_round = {
  start = start, session = ARGV[3], callers = cjson.decode(ARGV[4]), deadline = cjson.decode(ARGV[9]).deadline, over = true,
  traces = KEYS[5],
}
local reasons, rung_later = standings(call, the_round, { user }, rounds)
if needs_no_notice[reasons[1]] then return reasons[1] end
if rung_later()[user] then return 'rung_again' end

if redis.call('HEXISTS', round, 'e:' .. user) == 1 then return 'already' end
redis.call('LLEN', trail)  -- it is written after the e-mail: if it is not a list, the script must fail here

local email = emails .. (redis.call('GET', open_email) or '')
if redis.call('HGET', email, 'state') ~= 'open' then
  email = emails .. ARGV[7]
  if redis.call('EXISTS', email) == 1 then return 'already' end
  -- The job comes first: if it cannot be written, no call may join the e-mail.
  if window > 0 then
    schedule(cjson.decode(ARGV[12]), ARGV[11], math.ceil(now_us() / 1e6) + window)
  else
    enqueue(cjson.decode(ARGV[12]), ARGV[11])
  end
  -- The e-mail's job closes it. If that job fails, calls must not join the e-mail for ever.
  redis.call('SET', open_email, ARGV[7], 'EX', window + 3600)
  redis.call('HSET', email, 'state', 'open', 'pair', open_email)
end
local count = tonumber(redis.call('HGET', email, 'count') or 0)
-- After an error, this call may be in the e-mail already.
if redis.call('HGET', email, 'c:' .. count) ~= ARGV[9] then
  redis.call('HSET', email, 'count', count + 1, 'c:' .. count + 1, ARGV[9])
  redis.call('HDEL', email, 'c:' .. count + 1 - tonumber(ARGV[14]))
end
redis.call('EXPIRE', email, ARGV[13])
append_to_trail(trail, { ARGV[17] }, ARGV[15], ARGV[16])

-- This comes last: what fails before it is done again.
redis.call('HSET', round, 'e:' .. user, '1')
expire_unless_set(round, ARGV[6])
return 'waiting'
