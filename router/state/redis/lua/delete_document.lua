-- delete_document: a document is removed.
-- KEYS: docs
-- ARGS: doc = kind/id, etag (n or nil)
-- RETURNS: OK; NOT_FOUND, ETAG_MISMATCH
-- Prevents: the removal of a text that its remover has not read.

local old = unpacked(redis.call('HGET', K.docs, A.doc))
if not old then return refuse('NOT_FOUND') end
if A.etag and A.etag ~= old.e then return refuse('ETAG_MISMATCH') end
redis.call('HDEL', K.docs, A.doc)
tell_site({k = 'doc', r = A.doc})
commit_hints()
return {o = 'OK'}
