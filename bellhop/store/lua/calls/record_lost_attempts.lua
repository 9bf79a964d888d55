-- Put attempts on the trail whose result is not known, and free their devices. Each attempt has an orphaned claim. Only claims
-- that are unchanged count: then this is the first time, and no other worker has recorded or claimed anything since.
-- KEYS
--   1 the round   2 the trail
-- ARGV
--   1 length of a trail   2 seconds to keep a trail that has no expiry
--   then for each attempt: 3 kind of push, 4 device key, 5 claim, 6 line, …
-- Returns the numbers (from 1) of the attempts that were recorded now.
-- include: lib/trail
local round, trail = KEYS[1], KEYS[2]
local recorded, lines, freed, seen = {}, {}, {}, {}
for i = 3, #ARGV, 4 do
  local field = 's:' .. ARGV[i] .. ':' .. ARGV[i + 1]
  if not seen[field] and redis.call('HGET', round, field) == ARGV[i + 2] then
    seen[field] = true
    freed[#freed + 1] = field
    lines[#lines + 1] = ARGV[i + 3]
    recorded[#recorded + 1] = (i + 1) / 4
  end
end
append_to_trail(trail, lines, ARGV[1], ARGV[2])
if #freed > 0 then redis.call('HDEL', round, unpack(freed)) end
return recorded
