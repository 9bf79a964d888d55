-- Say goodbye: give back whatever is left, then give up the lease and RQ's registration.
-- ARGV: worker, queues separated by commas, "lost" when somebody says it for a worker that died
-- include: lib/execution
local worker, rq_worker = ARGV[1], 'rq:worker:' .. ARGV[1]
for queue in string.gmatch(ARGV[2], '[^,]+') do
  hand_back_all(queue, worker, ARGV[3] == 'lost')
  redis.call('SREM', 'rq:workers:' .. queue, rq_worker)
end
redis.call('SREM', 'rq:workers', rq_worker)
redis.call('DEL', rq_worker, 'bellhop:worker:' .. worker)
if ARGV[3] == 'lost' then
  -- Redis may not have heard of its death (a proxy between, a lost FIN), and give one more job to its last pop: until no pop
  -- can wait any longer, reap_workers.lua looks again.
  redis.call('SET', 'bellhop:buried:' .. worker, '1', 'PX', 5000)
else
  redis.call('SREM', 'bellhop:workers', worker)
end
