-- Make a user the owner of a token. A device counts only for the user whom this key names.
-- A removal that has begun (leave_token.lua) then leaves the owner as it is: SET ends the key's time to live.
-- KEYS
--   1 the token's owner
-- ARGV
--   1 user   2 whose it may be: "anybody's", "own" (the user's, or nobody's), or "nobody's"
-- Returns the owner before, "" if there was none.
local before = redis.call('GET', KEYS[1])
local takes = not before or ARGV[2] == "anybody's" or ARGV[2] == 'own' and before == ARGV[1]
if takes then redis.call('SET', KEYS[1], ARGV[1]) end
return before or ''
