-- Replace or remove entries of one key, each only if it still is as it was read. If this runs again, nothing changes.
-- KEYS
--   1 the key
-- ARGV
--   1 "hash", "list", "set", "zset" or "string"   2 a field of a hash that counts its changes, "" for none
--   3 of a hash, a field to add unless it is there, "" for none   4 its value
--   5… for each entry: name, value, "put" or "remove", new name, new value. An entry's name is the field of a hash, the
--   member of a sorted set (its value is the score), or the index in a list as it was read
-- Returns how many entries it changed.
local key, kind = KEYS[1], ARGV[1]
local changed = 0

local change = {}
function change.hash(name, value, action, new_name, new_value)
  if redis.call('HGET', key, name) ~= value then return end
  if action == 'put' then
    -- The key must not become empty in between: it would lose its expiry. Of two stamps, the later one stays.
    local other = new_name ~= name and tonumber(redis.call('HGET', key, new_name) or nil)
    if not (other and tonumber(new_value) and other > tonumber(new_value)) then redis.call('HSET', key, new_name, new_value) end
  end
  if action == 'remove' or new_name ~= name then redis.call('HDEL', key, name) end
  return true
end

function change.zset(name, value, action, new_name)
  local score = redis.call('ZSCORE', key, name)
  if not score then return end
  if action == 'put' then redis.call('ZADD', key, 'GT', score, new_name) end
  redis.call('ZREM', key, name)
  return true
end

function change.set(member, _, action, new_member)
  if redis.call('SISMEMBER', key, member) == 0 then return end
  if action == 'put' then redis.call('SADD', key, new_member) end
  redis.call('SREM', key, member)
  return true
end

function change.list(index, value, action, _, new_value)
  if redis.call('LINDEX', key, index) ~= value then
    index = redis.call('LPOS', key, value)
    if not index then return end
  end
  if action == 'put' then redis.call('LSET', key, index, new_value) else redis.call('LREM', key, 1, value) end
  return true
end

function change.string(_, value)
  if redis.call('GET', key) ~= value then return end
  redis.call('DEL', key)
  return true
end

for i = 5, #ARGV, 5 do
  if change[kind](unpack(ARGV, i, i + 4)) then changed = changed + 1 end
end
if redis.call('EXISTS', key) == 1 then
  if ARGV[3] ~= '' and redis.call('HSETNX', key, ARGV[3], ARGV[4]) == 1 then changed = changed + 1 end
  if ARGV[2] ~= '' and changed > 0 then redis.call('HINCRBY', key, ARGV[2], 1) end
end
return changed
