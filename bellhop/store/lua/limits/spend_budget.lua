-- Take one request from a budget of the installation.
-- KEYS
--   1 the budget
-- ARGV
--   1 requests in a second
-- Returns 1 if the request may be sent, 0 if the budget is spent.
-- include: lib/budget
return spend(KEYS[1], tonumber(ARGV[1])) and 1 or 0
