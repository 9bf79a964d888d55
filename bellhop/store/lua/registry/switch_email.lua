-- Switch a user's e-mails on or off among their preferences, of which the others stay as they are.
-- KEYS: person  ARGV: "on" or "off"
local stored = redis.call('HGET', KEYS[1], 'preferences')
local preferences = stored and cjson.decode(stored) or {}
preferences.email = ARGV[1] == 'on'
redis.call('HSET', KEYS[1], 'preferences', cjson.encode(preferences))
return preferences.email and 1 or 0
