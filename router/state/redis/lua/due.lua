-- due: tasks whose next event's time has come, earliest first.
-- KEYS: due
-- ARGS: limit
-- RETURNS: OK with ids
-- FLAGS: no-writes
-- Prevents: a sweep by another clock than that of the transitions.

return {o = 'OK', ids = redis.call('ZRANGEBYSCORE', K.due, '-inf', whole(NOW), 'LIMIT', 0, A.limit)}
