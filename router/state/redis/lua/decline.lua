-- decline: OFFERED -> QUEUED (front); the agent is left out for the task's exclusion time.
-- KEYS: @task
-- ARGS: task, agent, fence, reason
-- RETURNS: OK with the task; NOT_FOUND, SUPERSEDED, NOT_HOLDER, WRONG_STATE
-- Prevents: a declined task lost, or offered at once to the same agent again.

local id = A.task
local again = already_ended(id, 'decline')
if again then return again end
local t, refused = held_by(id, A.agent, A.fence, {OFFERED = true})
if not t then return refused end
t.nd = (t.nd or 0) + 1
exclude(t, A.agent)
let_go(id, t)
place(t, true)
ended_by(t, 'decline', A.agent)
arrow(id, t, 'decline', 'OFFERED', 'agent:' .. A.agent, A.reason, A.agent)
return done(id)
