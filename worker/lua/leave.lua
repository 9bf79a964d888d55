-- Say goodbye: give back whatever is left, then give up the lease and RQ's registration.
-- ARGV: worker, queues separated by commas, "lost" when somebody says it for a worker that died
-- include: execution
local worker, rq_worker = ARGV[1], 'rq:worker:' .. ARGV[1]
for queue in string.gmatch(ARGV[2], '[^,]+') do
  hand_back_all(queue, worker, ARGV[3] == 'lost')
  redis.call('SREM', 'rq:workers:' .. queue, rq_worker)
end
redis.call('SREM', 'rq:workers', rq_worker)
redis.call('DEL', rq_worker, 'bellhop:worker:' .. worker)
redis.call('SREM', 'bellhop:workers', worker)
