-- include: lib/execution
-- include: lib/worker_keys
-- How a worker's jobs are given back, and its registration removed. While a script runs, Redis does nothing else: so one
-- script gives back a few of a worker's jobs, and its caller runs it again.
local queues = queues_from(first_queue)

-- A job that began less than this before the last renewal of the dead worker's lease had newly begun when
-- the worker died.
local NEWLY_US = 500000

-- Returns whether the dead worker had begun one job at most. The first script after a death records this: the scripts that
-- give back the other jobs later find fewer jobs.
local function ran_alone(worker)
  local rq_worker = rq_worker_prefix .. worker
  local recorded = redis.call('HGET', rq_worker, 'ran_alone')
  if recorded then return recorded == '1' end
  local begun = 0
  for _, queue in ipairs(queues) do
    for _, id in ipairs(redis.call('LRANGE', inflight_key(queue, worker), 0, -1)) do
      local status, owner = unpack(job_fields(id, 'status', 'worker_name'), 1, 2)
      if status == 'started' and owner == worker then begun = begun + 1 end
      if begun > 1 then break end
    end
  end
  redis.call('HSET', rq_worker, 'ran_alone', begun > 1 and '0' or '1')
  redis.call('PERSIST', rq_worker)
  return begun < 2
end

-- Returns a function that counts this worker's death against a job that it had begun. The job is suspected if it ran alone,
-- or had newly begun. The function returns how many seconds the job must wait: from the third suspicion on, twice as long
-- each time.
local function death_of(worker)
  local alone, newly = ran_alone(worker), ''
  local renewed_ms = tonumber(redis.call('HGET', rq_worker_prefix .. worker, 'renewed_ms') or '')
  if renewed_ms then newly = iso(renewed_ms * 1000 - NEWLY_US) end
  return function(id, began)
    local job = job_prefix .. id
    redis.pcall('HINCRBY', job, 'lost_workers', 1)
    if not alone and began < newly then return 0 end
    local suspicions = redis.pcall('HINCRBY', job, 'suspicions', 1)
    return type(suspicions) == 'number' and suspicions > 2 and 2 ^ math.min(suspicions - 3, 10) or 0
  end
end

-- Give back up to `limit` jobs of a worker, the last that it took before the others: so the oldest ends up in front.
-- Returns how many jobs were looked at (less than the limit if none is left), and how many of them will run again.
local function hand_back_some(worker, limit, count_death)
  local looked, moved = 0, 0
  for _, queue in ipairs(queues) do
    if looked == limit then break end
    local ids = redis.call('LRANGE', inflight_key(queue, worker), looked - limit, -1)
    for i = #ids, 1, -1 do moved = moved + hand_back(queue, worker, ids[i], count_death) end
    looked = looked + #ids
  end
  return looked, moved
end

-- Remove RQ's registration of a worker without jobs. Returns whether it was registered.
local function unregister(worker)
  local rq_worker = rq_worker_prefix .. worker
  for _, queue in ipairs(queues) do redis.call('SREM', queue.workers, rq_worker) end
  redis.call('DEL', rq_worker)
  return redis.call('SREM', rq_workers, rq_worker) == 1
end
