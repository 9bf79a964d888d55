-- Note what a phone reported: its health, a receipt, or both.
-- KEYS
--   1 the records of the user's phones   2 the user's devices
-- ARGV
--   1 device key   2 now, unix ms   3 health as a JSON object of texts, numbers and booleans, or ""
--   4 the receipt's event, or "" without a receipt   5 its reason   6 the start of its round (unix µs)   7 seconds to keep the records
-- Returns "noted" and how many pushes in a row came with normal priority, if this report is the first one of its round that
-- adds to them and no later round has one, otherwise 0; or "gone" and 0 if the user does not have this device.
local phones, devices, key, now = KEYS[1], KEYS[2], ARGV[1], tonumber(ARGV[2])
if redis.call('HEXISTS', devices, key) == 0 then
  redis.call('HDEL', phones, key)
  return { 'gone', 0 }
end

local function object(text)
  local read, value = pcall(cjson.decode, text or '{}')
  return read and type(value) == 'table' and value or {}
end

local record = object(redis.call('HGET', phones, key))
for _, name in ipairs({ 'health', 'since' }) do
  if type(record[name]) ~= 'table' then record[name] = {} end
end
local report = object(ARGV[3] ~= '' and ARGV[3] or nil)
if ARGV[4] == 'rang' then  -- CallKit took this call, so its error for an earlier one is over
  record.health.callkit_error, record.since.callkit_error = nil, nil
end
for name, value in pairs(report) do
  if record.health[name] ~= value or not record.since[name] then record.since[name] = now end
  record.health[name] = value
  record.health_at = now
end

local demoted = 0
if ARGV[4] ~= '' then
  record.first_receipt_at = record.first_receipt_at or now
  record.last_receipt_at = now
  if ARGV[4] == 'rang' or ARGV[4] == 'not_shown' then record.event, record.reason = ARGV[4], ARGV[5] end
  if report.fcm_priority and tonumber(ARGV[6]) > (tonumber(record.priority_round) or 0) then
    record.priority_round = ARGV[6]
    demoted = report.fcm_priority == 'normal' and (tonumber(record.low_priority_in_a_row) or 0) + 1 or 0
    record.low_priority_in_a_row = demoted
  end
end
redis.call('HSET', phones, key, cjson.encode(record))
redis.call('EXPIRE', phones, ARGV[7])

-- A version that does not know these records may have removed devices.
if redis.call('HLEN', phones) > redis.call('HLEN', devices) then
  for _, other in ipairs(redis.call('HKEYS', phones)) do
    if redis.call('HEXISTS', devices, other) == 0 then redis.call('HDEL', phones, other) end
  end
end
return { 'noted', demoted }
