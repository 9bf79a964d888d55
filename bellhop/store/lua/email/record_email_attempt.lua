-- After an attempt: the letter is done for good, or waits for its next attempt; and what happened goes on the calls' trails.
-- Only this run's own claim changes anything.
-- KEYS: letter
-- ARGV: worker|run, "done" or "later", ttl s of a letter, seconds to wait, 1 if the attempt may have succeeded, now (ISO 8601),
--       the next attempt's job as JSON, ttl s of a trail that has none, trail length, then trail, line, …
-- include: lib/enqueue
local letter, owner = KEYS[1], ARGV[1] .. '|'
local claim = redis.call('HGET', letter, 'claim')
if not claim or string.sub(claim, 1, #owner) ~= owner then return 0 end
if ARGV[2] == 'done' then
  redis.call('DEL', letter)  -- names and addresses are not kept longer than they are needed
  redis.call('HSET', letter, 'state', 'done')
else
  local at = math.ceil(redis.call('TIME')[1] + ARGV[4])
  redis.call('HSET', letter, 'state', 'waiting', 'due', at)
  redis.call('HDEL', letter, 'claim')
  redis.call('HINCRBY', letter, 'attempts', 1)
  redis.call('HINCRBY', letter, 'unknown', ARGV[5])
  schedule(cjson.decode(ARGV[7]), ARGV[6], at)
end
redis.call('EXPIRE', letter, ARGV[3])
for i = 10, #ARGV, 2 do
  redis.call('RPUSH', ARGV[i], ARGV[i + 1])
  redis.call('LTRIM', ARGV[i], -tonumber(ARGV[9]), -1)
  if redis.call('TTL', ARGV[i]) < 0 then redis.call('EXPIRE', ARGV[i], ARGV[8]) end
end
return 1
