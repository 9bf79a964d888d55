-- The names of all queues that RQ knows.
local function queue_names()
  local names = {}
  for _, key in ipairs(redis.call('SMEMBERS', 'rq:queues')) do
    names[#names + 1] = string.match(key, '^rq:queue:(.*)$')
  end
  return names
end
