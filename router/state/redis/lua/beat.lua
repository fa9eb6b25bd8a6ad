-- beat: a worker says that it lives, and learns who fell silent.
-- KEYS: workers
-- ARGS: worker, silent (ms), forget (ms)
-- RETURNS: OK with silent = names, longest silent first
-- Prevents: sessions of a dead worker that nobody ends.

redis.call('ZADD', K.workers, whole(NOW), A.worker)
local silent = redis.call('ZRANGEBYSCORE', K.workers, '-inf', whole(NOW - A.silent), 'LIMIT', 0, 100)
redis.call('ZREMRANGEBYSCORE', K.workers, '-inf', whole(NOW - A.forget))
return {o = 'OK', silent = silent}
