-- Record attempts: mark each device that was sent its push ("sent", which stays), free the others for the next attempt, and
-- append lines to the trail. "sent" is written even if another run has claimed the device since. A device becomes free only
-- if this run has the claim. If another run has put this attempt on the trail as lost, that line is removed: both are the same
-- attempt. If this runs again because the answer was lost, nothing changes.
-- KEYS
--   1 the round   2 the trail
-- ARGV
--   1 kind of push   2 worker   3 run   4 length of a trail   5 seconds to keep a trail that has no expiry
--   6 number of devices   then for each device: 7 device key, 8 "sent" or "free", …   then the lines
-- include: lib/claim
-- include: lib/trail
local round, trail, kind, worker, run = KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3]
local devices = tonumber(ARGV[6])
local last_of_devices = 6 + 2 * devices

local names, keys, sent, free, claims_ended = {}, {}, {}, {}, 0
for i = 7, last_of_devices, 2 do
  names[#names + 1] = 's:' .. kind .. ':' .. ARGV[i]
  keys[ARGV[i]] = true
end
local claims = read_fields(round, names)
for number, name in ipairs(names) do
  local ours = is_claim_of(claims[name], worker, run)
  if ours then claims_ended = claims_ended + 1 end
  if ARGV[6 + 2 * number] == 'sent' then
    sent[#sent + 1] = name
    sent[#sent + 1] = 'sent'
  elseif ours then
    free[#free + 1] = name
  end
end
-- A round that has expired must not be created again.
if #sent > 0 and (next(claims) or redis.call('EXISTS', round) == 1) then write_fields(round, sent) end
remove_fields(round, free)

local lines = {}
for i = last_of_devices + 1, #ARGV do lines[#lines + 1] = ARGV[i] end
-- If this run still had the claims of all devices, this is the first time. If not, lines may already be on the trail: this
-- has run before, or restore_sent.lua has. Without devices, it is enough to look for the first line.
if devices == 0 then
  if lines[1] and redis.call('LPOS', trail, lines[1], 'RANK', -1, 'MAXLEN', 1000) then lines = {} end
elseif claims_ended < devices then
  lines = lines_not_on(trail, lines, 1000)
end
append_to_trail(trail, lines, ARGV[4], ARGV[5])
if claims_ended < devices then remove_lost_attempts(trail, run, keys, 1000) end
