-- Claim a question to Stream about a ring of a call: one at a time for each call, and none while an answer is a second old.
-- KEYS
--   1 the call's question: the run that asks, or "done" after its session
-- ARGV
--   1 run   2 session   3 how long the claim holds ms
-- Returns "go", also if the same run repeats it; "under_way" while another run asks; "done" if the same ring was asked about
-- less than a second ago.
local question = redis.call('GET', KEYS[1])
if question == 'done|' .. ARGV[2] then return 'done' end
if question and string.sub(question, 1, 5) ~= 'done|' and question ~= ARGV[1] then return 'under_way' end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])
return 'go'
