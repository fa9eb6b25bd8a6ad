-- pause: a work type (wt:<id>) or a queue (q:<id>) is no longer handed out, or is again.
-- KEYS: paused
-- ARGS: target, paused, reason
-- RETURNS: OK
-- Prevents: a claim that runs at the same moment missing the pause.

if A.paused then
  redis.call('HSET', K.paused, A.target, A.reason)
else
  redis.call('HDEL', K.paused, A.target)
  tell_site({k = 'work', an = ''})
  commit_hints()
end
return {o = 'OK'}
