-- set_ready: the desktop says whether its agent wants tasks.
-- KEYS: agents profiles groups idle busy queue
-- ARGS: agent, session, ready
-- RETURNS: OK with a, pf; NOT_FOUND, WRONG_STATE (SESSION_REPLACED)
-- Prevents: a replaced session speaking for the agent.

local a = get_agent(A.agent)
if not a then return refuse('NOT_FOUND') end
if a.ss ~= A.session then return refuse('WRONG_STATE', 'SESSION_REPLACED') end
changed_agent(A.agent)
a.rd = A.ready and 1 or nil
tell_worker(A.agent, a, {k = 'agent', a = a})
return done_agent(A.agent)
