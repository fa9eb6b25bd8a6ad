-- resume: PARKED -> ACTIVE under a new fence, on the same conditions as a pull.
-- KEYS: @task feeds
-- ARGS: task, agent, fence, actor
-- RETURNS: OK with the task; NOT_FOUND, SUPERSEDED, NOT_HOLDER, WRONG_STATE (a NoTask word)
-- Prevents: parked work as a way around the gate, the reserve and the capacity.

local id = A.task
local now_held = get_task(id)
if now_held and now_held.s == 'ACTIVE' and now_held.ag == A.agent and now_held.rf == A.fence then return same(id) end
local t, refused = held_by(id, A.agent, A.fence, {PARKED = true})
if not t then return refused end
local a = get_agent(A.agent)
local reason, gate, firm_held = refusal(A.agent, a, 'LEASE')
if not reason and firm_held and not t.iv then reason = 'RESERVE_HELD' end
if reason then return refuse('WRONG_STATE', reason, t.s) end
a.pk = without(a.pk, id)
hand_over(id, t, A.agent, a, gate, 'RESUME')
return done(id)
