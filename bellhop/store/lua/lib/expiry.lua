-- Let a key expire, unless it has an expiry already. Without this, a key that a script created would stay for ever.
local function expire_unless_set(key, ttl_s)
  if redis.call('TTL', key) < 0 then redis.call('EXPIRE', key, ttl_s) end
end
