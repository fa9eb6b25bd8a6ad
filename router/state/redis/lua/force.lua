-- force: ACTIVE or RECALLING -> QUEUED with its last checkpoint, whatever the desktop says.
-- KEYS: @task
-- ARGS: task, fence, reason, actor
-- RETURNS: OK with the task; NOT_FOUND, SUPERSEDED, WRONG_STATE
-- Prevents: a desktop that ignores its recall keeping the agent from the calls.

local t, refused = handed_over(A.task, A.fence, {ACTIVE = true, RECALLING = true})
if not t then return refused end
force_back(A.task, t, A.actor, A.reason)
return done(A.task)
