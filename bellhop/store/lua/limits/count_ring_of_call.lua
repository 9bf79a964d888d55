-- Count a ring of one call, unless the call has reached a bound.
-- KEYS
--   1 the call's rings of this minute   2 its open rings, by when they are over (µs)
-- ARGV
--   1 name of the ring   2 for how many people   3 most people in a minute   4 seconds to keep the minute
--   5 now µs   6 when the ring is over µs, "" if nothing rings   7 most open rings   8 seconds to keep the open rings
-- Returns "ok", or the bound that has been reached: "rings" or "open".
-- include: lib/rings
if is_counted(KEYS[1], ARGV[1]) then return 'ok' end
if is_full(KEYS[1], ARGV[3]) then return 'rings' end
if ARGV[6] ~= '' then
  redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', ARGV[5])
  if redis.call('ZCARD', KEYS[2]) >= tonumber(ARGV[7]) then return 'open' end
  redis.call('ZADD', KEYS[2], ARGV[6], ARGV[1])
  redis.call('EXPIRE', KEYS[2], ARGV[8])
end
count_ring(KEYS[1], ARGV[1], ARGV[2], ARGV[4])
return 'ok'
