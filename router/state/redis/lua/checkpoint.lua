-- checkpoint: ACTIVE or RECALLING stays so; its progress is saved, and the lease of an ACTIVE task renewed.
-- KEYS: @held
-- ARGS: task, agent, fence, data
-- RETURNS: OK with the task; NOT_FOUND, SUPERSEDED, NOT_HOLDER, WRONG_STATE
-- Prevents: progress of an earlier holder written over that of the present one.

local id = A.task
local t, refused = held_by(id, A.agent, A.fence, {ACTIVE = true, RECALLING = true})
if not t then return refused end
save_checkpoint(id, t, A.data)
if t.s == 'ACTIVE' then t.dl = NOW + (t.ls or 0) end
arrow(id, t, 'checkpoint', t.s, 'agent:' .. A.agent, '')
return done(id)
