-- A claim is the text `worker|run|until`: one run of one worker may do something that must not be done twice. It holds until
-- that time (an integer, in the unit that the script uses), and only while the lease of that worker exists. `leases` is the start
-- of the keys of all leases.
local function new_claim(worker, run, till)
  return worker .. '|' .. run .. '|' .. string.format('%.0f', till)
end

local function is_claim_of(claim, worker, run)
  local owner = worker .. '|' .. run .. '|'
  return claim and string.sub(claim, 1, #owner) == owner
end

-- Returns until when another run holds the claim; false if none does.
local function held_by_another(claim, worker, run, now, leases)
  if not claim or is_claim_of(claim, worker, run) then return false end
  local owner, till = string.match(claim, '^(.*)|.*|(%d+)$')
  till = tonumber(till)
  return till > now and redis.call('EXISTS', leases .. owner) == 1 and till
end

-- Returns whether another run left this claim: its worker died, or stood still for longer than the claim holds.
local function is_orphaned(claim, worker, run, now, leases)
  local is_claim = claim and string.find(claim, '|%d+$')
  return is_claim and not is_claim_of(claim, worker, run) and not held_by_another(claim, worker, run, now, leases)
end
