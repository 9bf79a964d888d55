-- Make a user the owner of a token. A device counts only for the user whom this key names.
-- SET ends the key's time to live. So a removal that has begun (leave_token.lua) does not remove this owner.
-- KEYS
--   1 the token's owner
-- ARGV
--   1 user   2 whose token may be taken: "anybody's", "own" (it has this owner already, or none), or "nobody's" (it has none)
-- Returns the owner before, "" if there was none.
local before = redis.call('GET', KEYS[1])
local takes = not before or ARGV[2] == "anybody's" or ARGV[2] == 'own' and before == ARGV[1]
if takes then redis.call('SET', KEYS[1], ARGV[1]) end
return before or ''
