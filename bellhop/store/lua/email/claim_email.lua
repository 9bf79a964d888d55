-- Claim an e-mail for one attempt by one run of one worker, and close it: later missed calls begin another e-mail.
-- The claim (see lib/claim.lua) holds for as long as the attempt may take. A worker without a lease claims nothing: another
-- worker may be running its jobs.
-- KEYS
--   1 the e-mail   2 the lease of the worker   3 start of the keys of all leases
--   4 start of the keys with the ids of open e-mails   then those of the job
-- ARGV
--   1 e-mail id   2 worker   3 run   4 length of the claim s   5 now (ISO 8601)   6 job that tries again later, as JSON
-- Returns "gone", "done", "early" or "held", alone. Or it returns "go", the number of attempts, the number of them that may
-- have succeeded, seconds since the first, the number of calls, and then each call as JSON.
-- include: lib/clock
-- include: lib/enqueue
-- include: lib/claim
local email, worker, run, length = KEYS[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local state, claim, due, open_email = unpack(redis.call('HMGET', email, 'state', 'claim', 'due', 'pair'))
local now = now_us() / 1e6
if not state then return { 'gone' } end
if state == 'done' then return { 'done' } end
if state == 'waiting' and tonumber(due) > now then return { 'early' } end
local held_until = state == 'sending' and held_by_another(claim, worker, run, now, KEYS[3])
if redis.call('EXISTS', KEYS[2]) == 0 then held_until = held_until or math.ceil(now) end
if held_until then
  schedule(cjson.decode(ARGV[6]), ARGV[5], held_until + 1)
  return { 'held' }
end

local began, count, attempts, unknown = unpack(redis.call('HMGET', email, 'began', 'count', 'attempts', 'unknown'))
began = began or math.floor(now)
local answer = { 'go', tonumber(attempts or 0), tonumber(unknown or 0), math.floor(now - began), tonumber(count) }
for number = 1, count do
  local call = redis.call('HGET', email, 'c:' .. number)
  if call then answer[#answer + 1] = call end
end

-- The claim comes after all that may fail: an e-mail that was claimed by a script that failed would never be sent.
if redis.call('GET', open_email) == ARGV[1] then redis.call('DEL', open_email) end
redis.call('HSET', email, 'began', began, 'state', 'sending', 'claim', new_claim(worker, run, math.ceil(now + length)))
return answer
