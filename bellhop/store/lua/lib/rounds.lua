-- The rounds of a call that rang somebody and are `wanted(started_at, session)`: their keys.
local function rings(call, prefix, wanted)
  local found, fields = {}, redis.call('HGETALL', call)
  for i = 1, #fields, 2 do
    local at = string.match(fields[i], '^r:(%d+)$')
    if at and wanted(tonumber(at), fields[i + 1]) and redis.call('HEXISTS', prefix .. at, 'ringless') == 0 then
      found[#found + 1] = prefix .. at
    end
  end
  return found
end

local function rung_in(rounds, user)
  for _, key in ipairs(rounds) do
    if redis.call('HEXISTS', key, 'u:' .. user) == 1 then return true end
  end
  return false
end

-- Which rings of this call began after `start`? For whom they were, the missed-call notice is theirs.
local function later_rounds(call, start, prefix)
  return rings(call, prefix, function(at) return at > start end)
end
