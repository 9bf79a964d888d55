-- include: lib/execution
-- Tells our jobs from those of other applications, by their names in ARGV[first] and after it.
-- RQ's tools write a job's data deflated. Our jobs have their name as description too.
local function our_jobs(first)
  local names = {}
  for i = first, #ARGV do names[ARGV[i]] = true end
  return function(id)
    local data, description = unpack(job_fields(id, 'data', 'description'), 1, 2)
    if not data then return false end
    return names[string.match(data, '^%["([^"]*)"') or description]
  end
end
