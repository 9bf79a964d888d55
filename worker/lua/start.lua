-- Begin a job that this worker has popped onto its in-flight list: the one of this id, or, without one, the last. Repeated
-- because an answer was lost, it answers the same.
-- ARGV: queue, worker, job id or ""
-- Returns id, when this run of it began, data, timeout s, how many workers died with it, and what is known of the people that
-- it names (see people_of.lua); nil when it is not to be run (and is then off the list): ended, cancelled, expired, queued twice, or meanwhile given to
-- another worker; and when the last one was begun before.
-- include: execution
-- include: people_of
local queue, worker, id = ARGV[1], ARGV[2], ARGV[3]
local list, last = inflight_key(queue, worker), ARGV[3] == ''
if last then id = redis.call('LINDEX', list, -1) end
if not id or not last and not redis.call('LPOS', list, id) then return nil end
local status, owner, began, data, timeout, lost_workers, people =
  unpack(job_fields(id, 'status', 'worker_name', 'started_at', 'data', 'timeout', 'lost_workers', 'people'), 1, 7)
local begun = status == 'started' and owner == worker
if last and begun then return nil end
if status ~= 'queued' and not begun then
  redis.call('LREM', list, 1, id)
  return nil
end
if not begun then began = begin_execution(queue, worker, id) end
-- Whatever anybody wrote there: a job without it reads the people by itself.
local read, found = pcall(function() return people_of(cjson.decode(people)) end)
return { id, began or '', data or '', timeout or '', lost_workers or '0', read and found }
