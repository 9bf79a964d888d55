-- Announce facts about users in a round, each once (lib/announcing.lua). If this runs again, nothing is announced twice.
-- KEYS
--   1 the call   2 the round   3 traces of forgotten rounds   4 start of the rounds' keys   then those of the outboxes
-- ARGV
--   1 the facts as MessagePack, every number in it a string (bellhop/audience.py)
-- Returns the numbers (from 1) of the facts that were announced now.
-- include: lib/standing
-- include: lib/announcing
local call, round, doc = KEYS[1], KEYS[2], cmsgpack.unpack(ARGV[1])

-- The users for whom the ring is over: they have answered or declined, or the call has ended.
local over, asked = {}, {}
for _, item in ipairs(doc.items) do
  if item.while_ringing then asked[#asked + 1] = item.while_ringing end
end
if #asked > 0 then
  local the_round = {
    start = tonumber(doc.start), session = doc.session, callers = doc.callers, deadline = tonumber(doc.deadline),
    over = false, traces = KEYS[3],
  }
  for i, standing in ipairs((standings(call, the_round, asked, KEYS[4]))) do over[asked[i]] = standing end
end

local told = {}
for number, item in ipairs(doc.items) do
  if not over[item.while_ringing or ''] and announce(round, item, doc.now) then told[#told + 1] = number end
end
return told
