-- include: lib/queue_keys
-- The keys of a script about workers: after the keys of lib/queue_keys.lua that all queues share, those of the partition; then
-- the queues.
local workers_key, seen_key, calm_since_key, turn_key, rq_queues, rq_workers, rq_suspended, neighbours_turn_prefix,
  lease_prefix, death_noticed_prefix, agenda_key = unpack(KEYS, 6, 16)
local first_queue = 17
