-- Which rings of this call began after `start`? For whom they were, the missed-call notice is theirs.
local function later_rounds(call, start, prefix)
  local later = {}
  for _, field in ipairs(redis.call('HKEYS', call)) do
    local other = string.match(field, '^r:(%d+)$')
    local rang = other and tonumber(other) > start and redis.call('HEXISTS', prefix .. other, 'ringless') == 0
    if rang then later[#later + 1] = prefix .. other end
  end
  return later
end

local function rung_again(later, user)
  for _, key in ipairs(later) do
    if redis.call('HEXISTS', key, 'u:' .. user) == 1 then return true end
  end
  return false
end
