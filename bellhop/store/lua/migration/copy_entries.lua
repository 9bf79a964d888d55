-- Change entries of a key to what another Redis has, each only if it still is as it was read, and remember what was copied. If
-- this runs again, nothing changes.
-- KEYS
--   1 the key   2 what was copied of it: a digest of the value, by a digest of the entry's name
-- ARGV
--   1 "hash", "zset" or "string"   2 milliseconds until the key expires there, "" if it does not   3 how long to remember s
--   4… for each entry: name, "1" if it was here, its value here, "put", "remove" or "keep", new value, digest of the name,
--   digest of the value there ("" if it is not there). The name is the field of a hash, or the member of a sorted set
-- Returns for each entry 1, or 0 if it had changed since it was read.
local key, copied, kind = KEYS[1], KEYS[2], ARGV[1]

local read = {
  hash = function(name) return redis.call('HGET', key, name) end,
  zset = function(name) return redis.call('ZSCORE', key, name) end,
  string = function() return redis.call('GET', key) end,
}
local put = {
  hash = function(name, value) redis.call('HSET', key, name, value) end,
  zset = function(name, value) redis.call('ZADD', key, value, name) end,
  string = function(_, value) redis.call('SET', key, value, 'KEEPTTL') end,
}
local remove = {
  hash = function(name) redis.call('HDEL', key, name) end,
  zset = function(name) redis.call('ZREM', key, name) end,
  string = function() redis.call('DEL', key) end,
}

local function is_as_read(name, was_here, value)
  local here = read[kind](name)
  if not here then return was_here == '' end
  return was_here == '1' and (here == value or kind == 'zset' and tonumber(here) == tonumber(value))
end

local is_new, has_put = redis.call('EXISTS', key) == 0, false
local answers = {}
for i = 4, #ARGV, 7 do
  local name, was_here, value, action, new_value, name_digest, digest = unpack(ARGV, i, i + 6)
  local changes = is_as_read(name, was_here, value)
  if changes then
    if action == 'put' then put[kind](name, new_value) end
    if action == 'remove' then remove[kind](name) end
    if digest == '' then redis.call('HDEL', copied, name_digest) else redis.call('HSET', copied, name_digest, digest) end
    has_put = has_put or action == 'put'
  end
  answers[#answers + 1] = changes and 1 or 0
end
redis.call('EXPIRE', copied, ARGV[3])
if has_put then
  local left = redis.call('PTTL', key)
  if ARGV[2] == '' then
    redis.call('PERSIST', key)
  elseif is_new or left >= 0 and left < tonumber(ARGV[2]) then
    redis.call('PEXPIRE', key, ARGV[2])
  end
end
return answers
