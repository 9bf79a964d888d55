-- End a run that could not send the first document of an outbox: another job goes on later. Only the run that has the claim
-- changes anything.
-- KEYS
--   1 the outbox   2 who drains it   then those of the job
-- ARGV
--   1 worker   2 run   3 seconds to wait   4 job of the next run as JSON   5 now (ISO 8601)
--   6 how often the first document could not be sent
-- Returns 1, or 0 if another run drains the outbox.
-- include: lib/enqueue
-- include: lib/claim
-- include: lib/clock
local draining, job = KEYS[2], cjson.decode(ARGV[4])
if not is_claim_of(redis.call('HGET', draining, 'claim'), ARGV[1], ARGV[2]) then return 0 end
schedule(job, ARGV[5], math.ceil(now_us() / 1e6 + tonumber(ARGV[3])))
redis.call('HSET', draining, 'job', job.id, 'failures', ARGV[6])
-- This comes last: if a command before it fails, all is done again.
redis.call('HDEL', draining, 'claim')
return 1
