-- Read, write and remove many fields of a hash. A command with very many arguments is more than Lua can pass on.
local IN_ONE_COMMAND = 4000

local function in_parts(list, run)
  for first = 1, #list, IN_ONE_COMMAND do run(unpack(list, first, math.min(first + IN_ONE_COMMAND - 1, #list))) end
end

-- Returns what a command that reads by names answers, by name: HMGET or ZMSCORE. Names that the key does not have are left out.
local function read_by_name(command, key, names)
  local values, at = {}, 0
  in_parts(names, function(...)
    for i, value in ipairs(redis.call(command, key, ...)) do values[names[at + i]] = value or nil end
    at = at + select('#', ...)
  end)
  return values
end

-- Returns the values by name. Fields that the hash does not have are left out.
local function read_fields(key, names)
  return read_by_name('HMGET', key, names)
end

-- `fields` is a list: name, value, …
local function write_fields(key, fields)
  in_parts(fields, function(...) redis.call('HSET', key, ...) end)
end

-- The same, but fields that the hash has stay as they are.
local function write_missing_fields(key, fields)
  local names, missing = {}, {}
  for i = 1, #fields, 2 do names[#names + 1] = fields[i] end
  local known = read_fields(key, names)
  for i = 1, #fields, 2 do
    if not known[fields[i]] then
      missing[#missing + 1] = fields[i]
      missing[#missing + 1] = fields[i + 1]
    end
  end
  write_fields(key, missing)
end

local function remove_fields(key, names)
  in_parts(names, function(...) redis.call('HDEL', key, ...) end)
end
