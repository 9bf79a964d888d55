-- include: lib/clock
-- include: lib/turns
-- Put a job into RQ's own data model: the hash that every RQ tool reads, then the id on its queue, or in RQ's registry
-- of jobs for later, from where enqueue_scheduled.lua queues it at `at` (unix s). bellhop/queue/job_payloads.py builds the
-- fields of a job, bellhop/store/job_keys.py its keys. RQ's list of queues is written with each job of a worker, and by each
-- worker when it registers: a web process does not write it for each ring.
local NOT_STORED = { id = true, name = true, queue = true, first_key = true }

-- Returns the keys of a job, which begin at KEYS[job.first_key]. A script that only queues new jobs has the first two. Only a job
-- whose tenant takes turns has the last two.
local function keys_of(job)
  local first = tonumber(job.first_key)
  return {
    hash = KEYS[first], waiting = KEYS[first + 1], scheduled = KEYS[first + 2], queues = KEYS[first + 3],
    own = job.tenant and KEYS[first + 4], turns = job.tenant and KEYS[first + 5],
  }
end

local function store_job(job, keys, created, status)
  local fields = { 'status', status, 'origin', job.queue, 'created_at', created, 'enqueued_at', created }
  for name, value in pairs(job) do
    if not NOT_STORED[name] then
      fields[#fields + 1] = name
      fields[#fields + 1] = value
    end
  end
  redis.call('HSET', keys.hash, unpack(fields))
end

-- Returns whether a job must wait for its tenant's turn.
local function waits_for_turn(job, keys)
  return job.tenant and must_wait_for_turn(keys.waiting, keys.own)
end

-- Returns an error, as a table with `err`, if the queue cannot be written. `waits`: what waits_for_turn returned.
local function put_on_queue(job, keys, waits)
  if waits then return put_in_turn(job.id, job.tenant, keys.own, keys.turns, keys.queues, now_us()) end
  local answer = redis.pcall('RPUSH', keys.waiting, job.id)
  return type(answer) == 'table' and answer.err and answer or nil
end

-- Puts a job that is stored on its queue, or into its tenant's list if it must wait for the tenant's turn.
local function let_wait(job, keys)
  local failure = put_on_queue(job, keys, waits_for_turn(job, keys))
  if failure then error(failure.err) end
end

-- `keys` are by default those that the job names.
local function enqueue(job, created, keys)
  keys = keys or keys_of(job)
  store_job(job, keys, created, 'queued')
  redis.call('SADD', keys.queues, keys.waiting)
  let_wait(job, keys)
end

local function schedule(job, created, at)
  local keys = keys_of(job)
  store_job(job, keys, created, 'scheduled')
  redis.call('SADD', keys.queues, keys.waiting)
  redis.call('ZADD', keys.scheduled, at, job.id)
end
