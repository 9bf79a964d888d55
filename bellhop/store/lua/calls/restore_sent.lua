-- Restore the records of accepted pushes, if Redis has lost them: the mark "sent", and the line on the trail. The worker that
-- sent the pushes remembers them. If this runs again, nothing changes.
-- KEYS
--   1 the round   2 the trail
-- ARGV
--   1 kind of push   2 worker   3 length of a trail   4 seconds to keep a trail that has no expiry
--   5 seconds to keep a round that has no expiry   then for each device: 6 device key, 7 line, …
-- Returns how many records were restored in time, and how many after another worker began to send the push again.
-- include: lib/expiry
-- include: lib/trail
local round, trail, kind, worker = KEYS[1], KEYS[2], ARGV[1], ARGV[2]
local lines, marks, is_lost = {}, {}, {}
for i = 6, #ARGV, 2 do lines[#lines + 1] = ARGV[i + 1] end
local lost = lines_not_on(trail, lines, ARGV[3])
for _, line in ipairs(lost) do is_lost[line] = true end

local in_time, sent_again = 0, 0
for i = 6, #ARGV, 2 do
  local field = 's:' .. kind .. ':' .. ARGV[i]
  local mark = redis.call('HGET', round, field)
  if mark ~= 'sent' then
    marks[#marks + 1] = field
    marks[#marks + 1] = 'sent'
  end
  if is_lost[ARGV[i + 1]] then
    local by_another = mark and string.sub(mark, 1, #worker + 1) ~= worker .. '|'
    if by_another then sent_again = sent_again + 1 else in_time = in_time + 1 end
  end
end
if #marks > 0 then
  redis.call('HSET', round, unpack(marks))
  expire_unless_set(round, ARGV[5])
end
append_to_trail(trail, lost, ARGV[3], ARGV[4])
return { in_time, sent_again }
