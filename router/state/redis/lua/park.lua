-- park: ACTIVE or RECALLING -> PARKED, for the same agent until a time.
-- KEYS: @task
-- ARGS: task, agent, fence, until_ms
-- RETURNS: OK with the task; NOT_FOUND, SUPERSEDED, NOT_HOLDER, WRONG_STATE
-- Prevents: a task set aside and forgotten: it always has the time at which it goes back to its queue.

local id = A.task
local again = already_ended(id, 'park')
if again then return again end
local t, refused = held_by(id, A.agent, A.fence, {ACTIVE = true, RECALLING = true})
if not t then return refused end
local source, a = t.s, get_agent(A.agent)
let_go(id, t)
a.pk = with(a.pk, id)
t.s, t.dl = 'PARKED', earliest(math.max(A.until_ms, NOW), t.xp)
ended_by(t, 'park', A.agent)
arrow(id, t, 'park', source, 'agent:' .. A.agent, '')
return done(id)
