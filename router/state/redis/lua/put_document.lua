-- put_document: a document is created, replaced or overwritten.
-- KEYS: docs
-- ARGS: doc = kind/id, body, etag (0 create, n replace, nil any)
-- RETURNS: OK with e; ALREADY_EXISTS, NOT_FOUND, ETAG_MISMATCH
-- Prevents: a lost update.

local old = unpacked(redis.call('HGET', K.docs, A.doc))
if old and A.etag == 0 then return refuse('ALREADY_EXISTS') end
if not old and A.etag and A.etag > 0 then return refuse('NOT_FOUND') end
if old and A.etag and A.etag ~= old.e then return refuse('ETAG_MISMATCH') end
local etag = (old and old.e or 0) + 1
redis.call('HSET', K.docs, A.doc, cmsgpack.pack({e = etag, b = A.body}))
tell_site({k = 'doc', r = A.doc})
commit_hints()
return {o = 'OK', e = etag}
