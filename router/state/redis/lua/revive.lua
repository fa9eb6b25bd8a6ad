-- revive: DEAD_LETTER -> QUEUED with its attempts forgiven.
-- KEYS: @task
-- ARGS: task, actor, reason, rev (or nil)
-- RETURNS: OK with the task; NOT_FOUND, WRONG_STATE, ETAG_MISMATCH
-- Prevents: a task that failed too often being lost for ever.

local t = get_task(A.task)
if not t then return refuse('NOT_FOUND') end
if t.s ~= 'DEAD_LETTER' then return refuse('WRONG_STATE', nil, t.s) end
if A.rev and A.rev ~= t.rev then return refuse('ETAG_MISMATCH', nil, t.s) end
t.at, t.ee, t.er = nil, nil, nil
place(t, false)
arrow(A.task, t, 'revive', 'DEAD_LETTER', A.actor, A.reason)
return done(A.task)
