-- Claim the lookup of a user's devices at Stream: once in a while for each user.
-- KEYS
--   1 the user's lookup: the run that has the claim, or "" if the user was looked up lately
-- ARGV
--   1 run   2 how long the claim holds s; 0 to give the claim back
-- Returns "go", also if the same run repeats it; "under_way" while another run has the claim; "lately"; "given_back".
local lookup = redis.call('GET', KEYS[1])
if ARGV[2] == '0' then
  if lookup == ARGV[1] then redis.call('DEL', KEYS[1]) end
  return 'given_back'
end
if lookup then return lookup == ARGV[1] and 'go' or lookup == '' and 'lately' or 'under_way' end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
return 'go'
