-- The keys of a script about queues, in the order of bellhop/store/queue_scripts.py: first the start of the keys of all jobs
-- and of all workers, then the keys of each queue.
local job_prefix, executions_prefix, execution_prefix, results_prefix, rq_worker_prefix = unpack(KEYS, 1, 5)

-- The keys of one queue, beginning at KEYS[first]; `inflight` is followed by a worker's name, `of_tenant` by a tenant's.
local function queue_at(first)
  local waiting, inflight, wip, finished, failed, scheduled, workers, turns, of_tenant = unpack(KEYS, first, first + 8)
  return {
    waiting = waiting, inflight = inflight, wip = wip, finished = finished, failed = failed, scheduled = scheduled,
    workers = workers, turns = turns, of_tenant = of_tenant,
  }
end

-- The keys of so many queues from KEYS[first] on; of all without `count`.
local function queues_from(first, count)
  local queues = {}
  for i = first, count and first + 9 * count - 1 or #KEYS, 9 do queues[#queues + 1] = queue_at(i) end
  return queues
end
