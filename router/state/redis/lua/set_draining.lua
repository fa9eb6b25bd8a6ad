-- set_draining: a supervisor lets an agent finish and receive nothing more.
-- KEYS: agents profiles groups idle busy queue
-- ARGS: agent, draining, reason
-- RETURNS: OK with a, pf; NOT_FOUND
-- Prevents: a draining agent standing in the idle index.

local a = get_agent(A.agent)
if not a then return refuse('NOT_FOUND') end
changed_agent(A.agent)
a.dr, a.drr = A.draining and 1 or nil, A.draining and A.reason or nil
clean(a)
tell_worker(A.agent, a, {k = 'agent', a = a})
return done_agent(A.agent)
