-- What is known of some users: their devices, contact and preferences, and, for those with preferences, when a ring of this
-- caller was last held back for quiet hours. `named`: the caller, then for each user the keys of their devices, their person
-- and their rings held back.
local function people_of(named)
  local found = {}
  for i = 2, #named, 3 do
    local contact, preferences = unpack(redis.call('HMGET', named[i + 1], 'contact', 'preferences'))
    local held_back = preferences and redis.call('HGET', named[i + 2], named[1])
    found[#found + 1] = { redis.call('HVALS', named[i]), contact, preferences, held_back }
  end
  return found
end
