-- connect: a desktop session opens and replaces an older one, which is told so.
-- KEYS: agents profiles groups idle busy queue
-- ARGS: agent, worker, session, ready
-- RETURNS: OK with a, pf; NOT_FOUND
-- Prevents: two sessions that both believe they serve the agent.

local id = A.agent
local a = get_agent(id)
if not a then return refuse('NOT_FOUND') end
changed_agent(id)
if a.ss and a.ss ~= A.session then tell_worker(id, a, {k = 'agent', r = 'SESSION_REPLACED', src = a.ss}) end
a.wk, a.ss, a.rd = A.worker, A.session, A.ready and 1 or nil
if not a.gr and not a.on then a.is = NOW end
return done_agent(id)
