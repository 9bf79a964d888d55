-- Count an e-mail in a set of those of one hour, unless the set is full. An e-mail is counted once, however often this runs.
-- KEYS
--   1 the set
-- ARGV
--   1 e-mail id   2 how many e-mails the set may have   3 seconds to keep it
-- Returns 1 if the e-mail is in the set, 0 if the set is full.
if redis.call('SISMEMBER', KEYS[1], ARGV[1]) == 1 then return 1 end
if redis.call('SCARD', KEYS[1]) >= tonumber(ARGV[2]) then return 0 end
redis.call('SADD', KEYS[1], ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 1
