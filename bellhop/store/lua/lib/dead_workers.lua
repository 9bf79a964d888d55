-- include: lib/worker_keys
-- Which workers are dead: those whose lease has ended. Right after a silence of all workers, all leases look ended: nobody is
-- presumed dead then (see queue/tend.lua).

-- `seen`: when any worker last renewed its lease. `calm_since`: since when there was no silence of all workers.
local function may_presume_dead(now_ms, seen, calm_since, longest_ms, lease_ms)
  return now_ms - seen <= tonumber(longest_ms) and now_ms - calm_since > tonumber(lease_ms)
end

-- Returns the names of the dead workers. MGET takes the leases of so many workers at once.
local AT_ONCE = 1000
local function dead_workers()
  local names, dead = redis.call('SMEMBERS', workers_key), {}
  for first = 1, #names, AT_ONCE do
    local leases = {}
    for i = first, math.min(first + AT_ONCE - 1, #names) do leases[#leases + 1] = lease_prefix .. names[i] end
    for i, lease in ipairs(redis.call('MGET', unpack(leases))) do
      if not lease then dead[#dead + 1] = names[first + i - 1] end
    end
  end
  return dead
end
