-- Set times that Stream gives for a user. A later time wins, in whatever order they arrive.
-- KEYS
--   1 the user
-- ARGV
--   for each time: 1 field, 2 unix µs, …
for i = 1, #ARGV, 2 do
  local before = redis.call('HGET', KEYS[1], ARGV[i])
  if not before or tonumber(ARGV[i + 1]) > tonumber(before) then redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
end
