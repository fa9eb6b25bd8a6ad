-- dump: everything that a site holds, at one moment (for the audit and the tests; not for the hot path).
-- KEYS: tasks specs checkpoints results queues qrefs agents profiles groups gates feeds callqueues
-- KEYS: commands leads docs requests refs paused counts meta queue heads idle busy due ended
-- KEYS: workers events recording
-- ARGS: hashes, lexical, timed, streams = names of keys by their kind
-- RETURNS: OK with found = {name = what HGETALL, ZRANGE or XRANGE answers}
-- FLAGS: no-writes
-- Prevents: an audit that takes the middle of somebody's change for a broken invariant.

local found = {}
for _, name in ipairs(A.hashes) do found[name] = redis.call('HGETALL', K[name]) end
for _, name in ipairs(A.lexical) do found[name] = redis.call('ZRANGE', K[name], 0, -1) end
for _, name in ipairs(A.timed) do found[name] = redis.call('ZRANGE', K[name], 0, -1, 'WITHSCORES') end
for _, name in ipairs(A.streams) do found[name] = redis.call('XRANGE', K[name], '-', '+') end
return {o = 'OK', found = found}
