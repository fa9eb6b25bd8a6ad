-- show: the ACD has taken the agent out of the call distribution; the hidden offer may be seen and its time starts.
-- KEYS: @task
-- ARGS: task, fence
-- RETURNS: OK with the task; NOT_FOUND, SUPERSEDED, WRONG_STATE
-- Prevents: an offer that the desktop sees while calls can still reach the agent.

local t, refused = handed_over(A.task, A.fence, {OFFERED = true, ACTIVE = true})
if not t then return refused end
if not t.hid then return same(A.task) end
show_offer(A.task, t)
return done(A.task)
