-- Remove a worker that ends, or that died: give back its jobs, then delete its lease and RQ's registration.
-- ARGV: worker, queues separated by commas, "lost" if it died
-- Its name stays among the workers for some seconds if it died; reap_workers.lua then removes it.
-- include: lib/execution
local worker, rq_worker = ARGV[1], 'rq:worker:' .. ARGV[1]
local queues = {}
for queue in string.gmatch(ARGV[2], '[^,]+') do queues[#queues + 1] = queue end
local death = ARGV[3] == 'lost' and death_of(worker, queues)
for _, queue in ipairs(queues) do
  hand_back_all(queue, worker, death)
  redis.call('SREM', 'rq:workers:' .. queue, rq_worker)
end
redis.call('SREM', 'rq:workers', rq_worker)
redis.call('DEL', rq_worker, 'bellhop:worker:' .. worker)
if ARGV[3] == 'lost' then
  -- Redis may not have noticed the death (a proxy between them, a lost FIN), and its BLMOVE may still move one job to
  -- the dead worker's list. No BLMOVE waits longer than these seconds. Until then reap_workers.lua finds such a job.
  redis.call('SET', 'bellhop:buried:' .. worker, '1', 'PX', 5000)
else
  redis.call('SREM', 'bellhop:workers', worker)
end
