-- include: lib/execution
-- include: lib/users
-- Begin a job that is on the worker's in-flight list; nil when it is not to be run (and is then off the list): ended, cancelled,
-- expired, queued twice, or meanwhile given to another worker. Of one that has begun before it says the same again, unless
-- only what is `fresh` is wanted: then nil.
-- Returns its id, when this run of it began, data, timeout s, how many workers died with it, and what is known of the people
-- that it names (see users.lua).
local function begin_job(queue, worker, id, fresh)
  local status, owner, began, data, timeout, lost_workers, people =
    unpack(job_fields(id, 'status', 'worker_name', 'started_at', 'data', 'timeout', 'lost_workers', 'people'), 1, 7)
  local begun = status == 'started' and owner == worker
  if fresh and begun then return nil end
  if status ~= 'queued' and not begun then
    redis.call('LREM', inflight_key(queue, worker), 1, id)
    return nil
  end
  if not begun then began = begin_execution(queue, worker, id) end
  -- Whatever anybody wrote there: a job without it reads the people by itself.
  local read, found = pcall(function() return people_of(cjson.decode(people)) end)
  local deaths = string.match(lost_workers or '', '^%d+$') or '0'
  return { id, began or '', data or '', timeout or '', deaths, read and found }
end
