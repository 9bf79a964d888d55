-- Count a ring of one caller, or for one callee, unless the user has reached the bound.
-- KEYS
--   1 the user's rings of this minute
-- ARGV
--   1 name of the ring   2 for how many people   3 most people in a minute   4 seconds to keep the minute
-- Returns "ok", or "rings" if the bound has been reached.
-- include: lib/rings
if is_counted(KEYS[1], ARGV[1]) then return 'ok' end
if is_full(KEYS[1], ARGV[3]) then return 'rings' end
count_ring(KEYS[1], ARGV[1], ARGV[2], ARGV[4])
return 'ok'
