-- release: RECALLING obeys a recall and waits first for the same agent; ACTIVE gives up, with the agent left out for a while.
-- KEYS: @task
-- ARGS: task, agent, fence, reason, data (a last checkpoint, or nil)
-- RETURNS: OK with the task; NOT_FOUND, SUPERSEDED, NOT_HOLDER, WRONG_STATE
-- Prevents: progress lost at a hand-back, and a task handed straight back to the agent that gave it up.

local id = A.task
local again = already_ended(id, 'release')
if again then return again end
local t, refused = held_by(id, A.agent, A.fence, {ACTIVE = true, RECALLING = true})
if not t then return refused end
local source = t.s
if A.data then save_checkpoint(id, t, A.data) end
let_go(id, t)
if source == 'RECALLING' then
  place_for(t, A.agent)
else
  exclude(t, A.agent)
  place(t, true)
end
ended_by(t, 'release', A.agent)
arrow(id, t, 'release', source, 'agent:' .. A.agent, A.reason, A.agent)
return done(id)
