-- What is known of some users: their devices, contact and preferences, and, for those with preferences, when a ring of
-- this caller was last held back for quiet hours.
-- KEYS: for each user their devices, their person, their rings held back  ARGV: caller
local found = {}
for i = 1, #KEYS, 3 do
  local contact, preferences = unpack(redis.call('HMGET', KEYS[i + 1], 'contact', 'preferences'))
  local held_back = preferences and redis.call('HGET', KEYS[i + 2], ARGV[1])
  found[#found + 1] = { redis.call('HVALS', KEYS[i]), contact, preferences, held_back }
end
return found
