-- Take the first document of an outbox for one run of one worker. The document stays in the outbox until this runs again and
-- names it as done: so it is not lost if the worker dies, and the documents leave in order.
-- If this runs again because the answer was lost, nothing changes.
-- KEYS
--   1 the outbox   2 who drains it   3 start of the keys of all leases
-- ARGV
--   1 worker   2 run   3 length of the claim µs   4 the document that is done, "" for none
-- Returns "empty" if no document is left; "held" if another run drains the outbox; else the first document, and how often it
-- could not be sent.
-- include: lib/claim
-- include: lib/clock
local outbox, draining, worker, run, done = KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[4]
local now, claim = now_us(), redis.call('HGET', draining, 'claim')
if held_by_another(claim, worker, run, now, KEYS[3]) then return { 'held' } end
if done ~= '' and is_claim_of(claim, worker, run) and redis.call('LINDEX', outbox, 0) == done then
  redis.call('HDEL', draining, 'failures')
  redis.call('LPOP', outbox)
end
local first = redis.call('LINDEX', outbox, 0)
if not first then
  -- A job is queued with the next document.
  redis.call('DEL', draining)
  return { 'empty' }
end
redis.call('HSET', draining, 'claim', new_claim(worker, run, now + tonumber(ARGV[3])))
if redis.call('TTL', draining) < 0 then redis.call('EXPIRE', draining, redis.call('TTL', outbox)) end
return { 'first', first, redis.call('HGET', draining, 'failures') or '0' }
