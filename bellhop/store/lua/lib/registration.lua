-- One registration of a device. A token registered again meanwhile is a living one, whatever a provider said about the older:
-- nothing is done to a device but while it is the very registration (registered_at, unix µs) that was read.
local function is_still(devices, key, registered_at)
  local stored = redis.call('HGET', devices, key)
  return stored and cjson.decode(stored).registered_at == tonumber(registered_at)
end

local function remove(devices, key, owner)
  redis.call('HDEL', devices, key)
  redis.call('DEL', owner)
end
