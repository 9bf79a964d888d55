-- Count the rings that began in one minute, and for how many people they are. `minute` is a hash: the names of the rings, and
-- `people`. A ring is counted once, however often this runs.
local function is_counted(minute, ring) return redis.call('HEXISTS', minute, ring) == 1 end

local function is_full(minute, most) return tonumber(redis.call('HGET', minute, 'people') or 0) >= tonumber(most) end

local function count_ring(minute, ring, people, ttl_s)
  redis.call('HSET', minute, ring, '1')
  redis.call('HINCRBY', minute, 'people', people)
  redis.call('EXPIRE', minute, ttl_s)
end
