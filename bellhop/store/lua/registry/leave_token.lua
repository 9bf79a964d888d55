-- Remove the owner of a token, in two steps: "begin" before the user's device is removed, and "end" after it. "begin" gives the
-- key a time to live. A registration in between sets the owner again, which ends the time to live; then the owner stays. If
-- nothing follows the first step, the key expires.
-- KEYS
--   1 the token's owner
-- ARGV
--   1 user   2 "begin", "end", or "keep" to end it without removing the owner
--   3 seconds until the key expires if the second step does not follow
local owner = KEYS[1]
if redis.call('GET', owner) ~= ARGV[1] then return end
local expires = redis.call('TTL', owner) > 0
if ARGV[2] == 'begin' and not expires then redis.call('EXPIRE', owner, ARGV[3]) end
if ARGV[2] == 'end' and expires then redis.call('DEL', owner) end
if ARGV[2] == 'keep' then redis.call('PERSIST', owner) end
