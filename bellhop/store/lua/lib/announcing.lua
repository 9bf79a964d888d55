-- include: lib/enqueue
-- Announce facts about users in a round, each once. The round records them. bellhop/audience.py builds the items.

-- Returns three keys: the outbox, who drains it, and the start of the keys of all jobs. `first_key` is the position of the first
-- in KEYS (bellhop/store/job_keys.py).
local function outbox_keys(outbox)
  return unpack(KEYS, tonumber(outbox.first_key), tonumber(outbox.first_key) + 2)
end

-- Returns whether the job still waits or runs. A job that has failed, or was lost, drains no outbox.
local function is_alive(job_hash)
  local status = redis.call('HGET', job_hash, 'status')
  return status == 'queued' or status == 'started' or status == 'scheduled'
end

-- Returns whether a job drains the outbox already.
local function is_being_drained(outbox)
  local _, draining, job_prefix = outbox_keys(outbox)
  local job = redis.call('HGET', draining, 'job')
  if not job or not is_alive(job_prefix .. job) then return false end
  -- If it is the same job, this script failed after it had written the job, and runs again: the job may not be on its queue.
  return job ~= outbox.job.id or redis.call('LPOS', keys_of(outbox.job).waiting, job)
end

-- Put a document into an outbox, which one job at a time drains. If the script fails after this and runs again, nothing is
-- added.
local function put_in_outbox(outbox, document, now)
  local key, draining = outbox_keys(outbox)
  if redis.call('LINDEX', key, -1) ~= document then redis.call('RPUSH', key, document) end
  redis.call('EXPIRE', key, outbox.keep_s)
  if not is_being_drained(outbox) then
    redis.call('HSET', draining, 'job', outbox.job.id)
    enqueue(outbox.job, now)
  end
  redis.call('EXPIRE', draining, outbox.keep_s)
end

-- Returns whether the fact was announced now. A round that has expired is not created again: each repeat of a fact that outlives
-- its round is then announced.
local function announce(round, item, now)
  local known = redis.call('HMGET', round, 'facts', item.field, unpack(item.unless))
  if not known[1] and not item.outlives_round then return false end
  for i = 2, #known do
    if known[i] then return false end
  end
  for _, outbox in ipairs(item.outboxes) do put_in_outbox(outbox, item.document, now) end
  -- If the user of Redis may not publish, live streams get nothing; all else works. `bellhop check` names the missing right.
  if item.channel then redis.pcall('PUBLISH', item.channel, item.document) end
  -- This comes last: if a command before it fails, the fact is announced again.
  local fields = { item.field, item.at }
  if item.because then fields[3], fields[4] = item.because_field, item.because end
  if known[1] then redis.call('HSET', round, unpack(fields)) end
  return true
end
