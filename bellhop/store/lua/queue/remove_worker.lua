-- Remove a worker that ends, or that died: give back its jobs, then delete its lease and RQ's registration.
-- KEYS: lib/worker_keys.lua, the worker's queues
-- ARGV: worker, "lost" if it died
-- Its name stays among the workers for some seconds if it died; reap_workers.lua then removes it.
-- include: lib/execution
-- include: lib/worker_keys
local worker, rq_worker, lost = ARGV[1], rq_worker_prefix .. ARGV[1], ARGV[2] == 'lost'
local death = lost and death_of(worker, queues)
for _, queue in ipairs(queues) do
  hand_back_all(queue, worker, death)
  redis.call('SREM', queue.workers, rq_worker)
end
redis.call('SREM', rq_workers, rq_worker)
redis.call('DEL', rq_worker, lease_prefix .. worker)
if lost then
  -- Redis may not have noticed the death (a proxy between them, a lost FIN), and its BLMOVE may still move one job to
  -- the dead worker's list. No BLMOVE waits longer than these seconds. Until then reap_workers.lua finds such a job.
  redis.call('SET', death_noticed_prefix .. worker, '1', 'PX', 5000)
else
  redis.call('SREM', workers_key, worker)
end
