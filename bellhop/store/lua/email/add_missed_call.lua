-- Put a missed call into the e-mail that collects calls for this user and caller; or begin an e-mail and schedule its job.
-- There is one e-mail for each window, and a call is put into one e-mail, however often this runs.
-- KEYS
--   1 the id of the open e-mail of this user and caller   2 the id of the e-mail that has this call
--   3 start of the e-mails' keys   4 the new e-mail   then the keys of the job
-- ARGV
--   1 id of a new e-mail   2 round as JSON   3 window s   4 now (ISO 8601)   5 job of a new e-mail as JSON
--   6 seconds to keep an e-mail   7 limit of calls that are kept whole
-- Returns "added", or "already".
-- include: lib/clock
-- include: lib/enqueue
local open_email, email_of_call, emails, id, window = KEYS[1], KEYS[2], KEYS[3], ARGV[1], tonumber(ARGV[3])
if redis.call('EXISTS', email_of_call) == 1 then return 'already' end

local open_id = redis.call('GET', open_email) or ''
local email = emails .. open_id
if redis.call('HGET', email, 'state') == 'open' then
  id = open_id
else
  email = KEYS[4]
  if redis.call('EXISTS', email) == 1 then return 'already' end
  -- The job comes first: if it cannot be written, no call may join the e-mail.
  if window > 0 then
    schedule(cjson.decode(ARGV[5]), ARGV[4], math.ceil(now_us() / 1e6) + window)
  else
    enqueue(cjson.decode(ARGV[5]), ARGV[4])
  end
  -- The e-mail's job closes it. If that job fails, calls must not join the e-mail for ever.
  redis.call('SET', open_email, id, 'EX', window + 3600)
  redis.call('HSET', email, 'state', 'open', 'pair', open_email)
end
local count = tonumber(redis.call('HGET', email, 'count') or 0)
-- After an error, this call may be in the e-mail already.
if redis.call('HGET', email, 'c:' .. count) ~= ARGV[2] then
  redis.call('HSET', email, 'count', count + 1, 'c:' .. count + 1, ARGV[2])
  redis.call('HDEL', email, 'c:' .. count + 1 - tonumber(ARGV[7]))
end
redis.call('EXPIRE', email, ARGV[6])

-- This comes last: what fails before it is done again.
redis.call('SET', email_of_call, id, 'EX', ARGV[6])
return 'added'
