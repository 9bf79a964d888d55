-- Switch a user's e-mails on or off in their preferences. The other preferences stay as they are.
-- KEYS
--   1 the user
-- ARGV
--   1 "on" or "off"
-- Returns 1 for on, 0 for off.
local stored = redis.call('HGET', KEYS[1], 'preferences')
local preferences = stored and cjson.decode(stored) or {}
preferences.email = ARGV[1] == 'on'
-- cjson would write an empty list as an object, and then the preferences could not be read. A field that is left out is empty.
for name, value in pairs(preferences) do
  if type(value) == 'table' and not next(value) then preferences[name] = nil end
end
redis.call('HSET', KEYS[1], 'preferences', cjson.encode(preferences))
return preferences.email and 1 or 0
