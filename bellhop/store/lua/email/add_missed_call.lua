-- Put a missed call into the e-mail that waits for this user and caller, or begin one and schedule its job: one e-mail for
-- each window. A call is put into one e-mail, however often this runs.
-- KEYS: call, round, trail, the pair's open letter
-- ARGV: user, round's start µs, session, callers as JSON, prefix of the rounds' keys, ttl s of a round that has none,
--       letter id, round as JSON, window s, now (ISO 8601), job as JSON, ttl s of a letter, most calls kept whole,
--       ttl s of a trail that has none, trail length, trail line
-- Returns "waiting", "already", or why no e-mail is due.
-- include: lib/standing
-- include: lib/enqueue
local call, round, trail, pair = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local user, start = ARGV[1], tonumber(ARGV[2])

local word = standings(call, start, ARGV[3], cjson.decode(ARGV[4]), { user }, 0, ARGV[5])[1]
if word == 'answered' or word == 'declined' or word == 'missed_quietly' then return word end
if rung_in(later_rounds(call, start, ARGV[5]), user) then return 'rung_again' end

if redis.call('HSETNX', round, 'e:' .. user, '1') == 0 then return 'already' end
if redis.call('TTL', round) < 0 then redis.call('EXPIRE', round, ARGV[6]) end

local id = redis.call('GET', pair) or ''
if redis.call('HGET', 'bellhop:letter:' .. id, 'state') ~= 'open' then
  id = ARGV[7]
  if redis.call('EXISTS', 'bellhop:letter:' .. id) == 1 then return 'already' end
  local window = tonumber(ARGV[9])
  -- The letter's job closes it; should that come to nothing, calls do not go on joining it for ever.
  redis.call('SET', pair, id, 'EX', window + 3600)
  redis.call('HSET', 'bellhop:letter:' .. id, 'state', 'open', 'pair', pair)
  if window > 0 then
    schedule(cjson.decode(ARGV[11]), ARGV[10], math.ceil(now_us() / 1e6) + window)
  else
    enqueue(cjson.decode(ARGV[11]), ARGV[10])
  end
end
local letter = 'bellhop:letter:' .. id
local count = redis.call('HINCRBY', letter, 'count', 1)
redis.call('HSET', letter, 'c:' .. count, ARGV[8])
redis.call('HDEL', letter, 'c:' .. count - tonumber(ARGV[13]))
redis.call('EXPIRE', letter, ARGV[12])

redis.call('RPUSH', trail, ARGV[16])
redis.call('LTRIM', trail, -tonumber(ARGV[15]), -1)
if redis.call('TTL', trail) < 0 then redis.call('EXPIRE', trail, ARGV[14]) end
return 'waiting'
