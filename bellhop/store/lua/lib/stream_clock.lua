-- How far Redis's clock is ahead of Stream's, µs. Stamps and deadlines are in Stream's time: subtract this from Redis's time
-- before the two are compared (docs/decisions/0009). `clock` is the key of what was learned of the difference.
local function redis_ahead_us(clock)
  return tonumber(redis.call('HGET', clock, 'applied_us') or 0)
end
