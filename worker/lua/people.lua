-- KEYS: for each user their devices, their person, their rings held back  ARGV: caller
-- include: people_of
return people_of({ ARGV[1], unpack(KEYS) })
