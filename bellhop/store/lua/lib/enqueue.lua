-- Put a job into RQ's own data model: the hash that every RQ tool reads, then the id on its queue, or in RQ's registry
-- of jobs for later, from where enqueue_scheduled.lua queues it at `at` (unix s). bellhop/queue/job_payloads.py builds the
-- fields of a job. RQ's list of queues is written with each job of a worker, and by each worker when it registers: a web process
-- does not write it for each ring.
local function store_job(job, created, status)
  local fields = { 'status', status, 'origin', job.queue, 'created_at', created, 'enqueued_at', created }
  for name, value in pairs(job) do
    if name ~= 'id' and name ~= 'name' and name ~= 'queue' then
      fields[#fields + 1] = name
      fields[#fields + 1] = value
    end
  end
  redis.call('HSET', 'rq:job:' .. job.id, unpack(fields))
end

local function list_queue(queue)
  redis.call('SADD', 'rq:queues', 'rq:queue:' .. queue)
end

-- Returns an error, as a table with `err`, if the queue cannot be written.
local function put_on_queue(job)
  local answer = redis.pcall('RPUSH', 'rq:queue:' .. job.queue, job.id)
  return type(answer) == 'table' and answer.err and answer or nil
end

local function enqueue(job, created)
  store_job(job, created, 'queued')
  list_queue(job.queue)
  redis.call('RPUSH', 'rq:queue:' .. job.queue, job.id)
end

local function schedule(job, created, at)
  store_job(job, created, 'scheduled')
  list_queue(job.queue)
  redis.call('ZADD', 'rq:scheduled:' .. job.queue, at, job.id)
end
