-- Put a document that is not about a ring into outboxes: a removed device, an alarm, a dead letter that is sent again.
-- If the answer is lost, this runs again. With the last key, the document is not announced again. Without it, the document
-- may wait twice, with the same id.
-- KEYS
--   those of the outboxes; then, optional, the key that says that the document was announced
-- ARGV
--   1 the document and its outboxes as MessagePack, every number in it a string   2 seconds for which it is not announced again,
--   else ""
-- Returns 1, or 0 if it was announced already.
-- include: lib/announcing
local doc = cmsgpack.unpack(ARGV[1])
local announced = ARGV[2] ~= '' and KEYS[#KEYS]
if announced and redis.call('EXISTS', announced) == 1 then return 0 end
for _, outbox in ipairs(doc.outboxes) do put_in_outbox(outbox, doc.document, doc.now) end
-- This comes last: if a command before it fails, the document is announced again.
if announced then redis.call('SET', announced, 1, 'EX', ARGV[2]) end
return 1
