-- accept: OFFERED -> ACTIVE.
-- KEYS: @held
-- ARGS: task, agent, fence
-- RETURNS: OK with the task; NOT_FOUND, SUPERSEDED, NOT_HOLDER, WRONG_STATE (NOT_SHOWN, OFFER_EXPIRED)
-- Prevents: a lease that starts from an offer which is over, hidden or somebody else's.

local id = A.task
local t, refused = held_by(id, A.agent, A.fence, {OFFERED = true, ACTIVE = true})
if not t then return refused end
if t.s == 'ACTIVE' then return same(id) end
if t.hid then return refuse('WRONG_STATE', 'NOT_SHOWN', t.s) end
if NOW >= (t.dl or 0) then return refuse('WRONG_STATE', 'OFFER_EXPIRED', t.s) end
activate(id, t)
return done(id)
