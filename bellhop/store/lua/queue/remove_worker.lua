-- Remove a worker that ends, or that died: give back some of its jobs. When none is left, delete its lease and RQ's
-- registration.
-- KEYS: lib/worker_keys.lua, the worker's queues
-- ARGV: worker, "lost" if it died, limit of jobs
-- Returns whether jobs may be left: the caller must run it again.
-- The worker's name stays among the workers for some seconds if it died; reap_workers.lua then removes it.
-- include: lib/leaving
local worker, lost, limit = ARGV[1], ARGV[2] == 'lost', tonumber(ARGV[3])
if lost then
  -- If the caller dies before the last job is back, reap_workers.lua goes on: the lease has ended.
  redis.call('DEL', lease_prefix .. worker)
  -- Redis may not have noticed the death (a proxy between them, a lost FIN), and its BLMOVE may still move one job to
  -- the dead worker's list. No BLMOVE waits longer than these seconds. Until then reap_workers.lua finds such a job.
  redis.call('SET', death_noticed_prefix .. worker, '1', 'PX', 5000)
end
if hand_back_some(worker, limit, lost and death_of(worker)) == limit then return 1 end
unregister(worker)
redis.call('DEL', lease_prefix .. worker)
if not lost then redis.call('SREM', workers_key, worker) end
return 0
