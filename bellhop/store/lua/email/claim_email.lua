-- Claim a letter for one attempt by one run of one worker, and close it: calls that are missed from here on begin another.
-- The claim holds while that worker lives and the attempt may still be under way.
-- KEYS: letter
-- ARGV: letter id, worker, run, attempt lease s, now (ISO 8601), a job to look again as JSON
-- Returns a word; after "go" also attempts and doubtful attempts before this one, seconds since the first, number of calls,
-- then each call as JSON with the user's standing in it now ("" when the call is forgotten).
-- include: lib/standing
-- include: lib/enqueue
local letter, worker, run, lease = KEYS[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local state, claim, due, pair = unpack(redis.call('HMGET', letter, 'state', 'claim', 'due', 'pair'))
local now = now_us() / 1e6
if not state then return { 'gone' } end
if state == 'done' then return { 'done' } end
if state == 'waiting' and tonumber(due) > now then return { 'early' } end
if state == 'sending' then
  local owner, owner_run, till = string.match(claim, '^(.*)|(.*)|(%d+)$')
  local same = owner == worker and owner_run == run
  if not same and tonumber(till) > now and redis.call('EXISTS', 'bellhop:worker:' .. owner) == 1 then
    schedule(cjson.decode(ARGV[6]), ARGV[5], till + 1)
    return { 'held' }
  end
end

redis.call('HSET', letter, 'state', 'sending', 'claim', worker .. '|' .. run .. '|' .. math.ceil(now + lease))
redis.call('HSETNX', letter, 'began', math.floor(now))
if redis.call('GET', pair) == ARGV[1] then redis.call('DEL', pair) end

local began, count, attempts, unknown = unpack(redis.call('HMGET', letter, 'began', 'count', 'attempts', 'unknown'))
local answer = { 'go', tonumber(attempts or 0), tonumber(unknown or 0), math.floor(now - began), tonumber(count) }
for number = 1, count do
  local text = redis.call('HGET', letter, 'c:' .. number)
  if text then
    local round = cjson.decode(text)
    local name, user = round.tenant .. ':' .. round.cid, round.recipients[1].id
    local word = standings('bellhop:call:' .. name, round.started_at, round.session_id, round.callers, { user }, 0,
      'bellhop:round:' .. name .. ':')[1]
    answer[#answer + 1] = text
    answer[#answer + 1] = word or ''
  end
end
return answer
