-- Add what a process turned away to the counts of ten minutes. If this runs again because the answer was lost, it counts again.
-- KEYS
--   1 the counts
-- ARGV
--   1 limit of entries   2 seconds to keep the counts   then for each entry: 3 entry, 4 what to count if there are too many, 5 amount
local entries = redis.call('HLEN', KEYS[1])
for i = 3, #ARGV, 3 do
  local entry = ARGV[i]
  if entries >= tonumber(ARGV[1]) and redis.call('HEXISTS', KEYS[1], entry) == 0 then entry = ARGV[i + 1] end
  local counted = redis.call('HINCRBY', KEYS[1], entry, ARGV[i + 2])
  if counted == tonumber(ARGV[i + 2]) then entries = entries + 1 end
end
redis.call('EXPIRE', KEYS[1], ARGV[2])
return 'counted'
