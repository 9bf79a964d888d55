-- A budget of `rate` requests in a second, for all processes together. Takes one from it; returns false if it is spent.
local function spend(key, rate)
  local most = math.max(1, rate)
  local time = redis.call('TIME')
  local now = time[1] + time[2] / 1e6
  local budget = redis.call('HMGET', key, 'left', 'at')
  local known = budget[1] and tonumber(budget[2]) <= now  -- otherwise it is new, or the clock was set back
  local left = known and math.min(most, budget[1] + (now - budget[2]) * rate) or most
  if left < 1 then return false end
  redis.call('HSET', key, 'left', string.format('%.6f', left - 1), 'at', string.format('%.6f', now))
  redis.call('EXPIRE', key, math.ceil(most / rate) + 1)
  return true
end
