-- KEYS: for each user their devices, their person, their rings held back  ARGV: caller
-- include: lib/users
return people_of({ ARGV[1], unpack(KEYS) })
