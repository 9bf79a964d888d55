-- After an attempt: the e-mail is done for good, or waits for its next attempt. Only the run that has the claim changes
-- anything.
-- KEYS
--   1 the e-mail   then, for "later", those of the job
-- ARGV
--   1 worker   2 run   3 "done" or "later"   4 seconds to keep an e-mail   5 seconds to wait
--   6 "1" if the attempt may have succeeded, else "0"   7 now (ISO 8601)   8 job of the next attempt as JSON
-- Returns 1, or 0 when this run has no claim any more.
-- include: lib/enqueue
-- include: lib/claim
local email = KEYS[1]
if not is_claim_of(redis.call('HGET', email, 'claim'), ARGV[1], ARGV[2]) then return 0 end
if ARGV[3] == 'done' then
  redis.call('DEL', email)  -- names and addresses are not kept longer than they are needed
  redis.call('HSET', email, 'state', 'done')
else
  local at = math.ceil(redis.call('TIME')[1] + ARGV[5])
  schedule(cjson.decode(ARGV[8]), ARGV[7], at)
  redis.call('HINCRBY', email, 'attempts', 1)
  redis.call('HINCRBY', email, 'unknown', ARGV[6])
  redis.call('HSET', email, 'state', 'waiting', 'due', at)
  redis.call('HDEL', email, 'claim')
end
redis.call('EXPIRE', email, ARGV[4])
return 1
