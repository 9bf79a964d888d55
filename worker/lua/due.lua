-- The watchdog's look at the agenda: queue a settle job for each call whose time has come. Any number of workers may run it:
-- the call's next time moves on in the same step, so a job that is lost is queued again.
-- KEYS: agenda  ARGV: at most how many, again after ms, job fields as JSON, then a fresh job id for each
-- include: enqueue
-- include: clock
local now = now_us()
local now_ms = math.floor(now / 1000)
local template = cjson.decode(ARGV[3])
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now_ms, 'LIMIT', 0, ARGV[1])
for i, member in ipairs(due) do
  redis.call('ZADD', KEYS[1], now_ms + tonumber(ARGV[2]), member)
  local colon = string.find(member, ':', 1, true)
  local tenant, cid = string.sub(member, 1, colon - 1), string.sub(member, colon + 1)
  template.id = ARGV[3 + i]
  template.data = '["' .. template.name .. '",null,[' .. cjson.encode({ tenant = tenant, cid = cid, v = 1 }) .. '],{}]'
  enqueue(template, iso(now))
end
return #due
