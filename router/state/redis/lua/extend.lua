-- extend: ACTIVE stays so; its lease is renewed.
-- KEYS: @held
-- ARGS: task, agent, fence, lease (ms, 0: the task's own)
-- RETURNS: OK with the task; NOT_FOUND, SUPERSEDED, NOT_HOLDER, WRONG_STATE
-- Prevents: a lease kept alive by somebody who lost it.

local id = A.task
local t, refused = held_by(id, A.agent, A.fence, {ACTIVE = true})
if not t then return refused end
t.dl = NOW + (A.lease > 0 and A.lease or t.ls or 0)
changed_task(id)
count_step(t, t.s, t.s, 'extend')
return done(id)
