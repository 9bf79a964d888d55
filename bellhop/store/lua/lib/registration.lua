-- One registration of a device. A token that was registered again is alive, whatever a provider said about the older
-- registration. So a device is changed only while it is the registration (registered_at, unix µs) that was read.
local function is_still(devices, key, registered_at)
  local stored = redis.call('HGET', devices, key)
  return stored and cjson.decode(stored).registered_at == tonumber(registered_at)
end

local function remove(devices, key, owner, phones)
  redis.call('HDEL', devices, key)
  redis.call('HDEL', phones, key)
  redis.call('DEL', owner)
end
