-- disconnect: the session is gone; offers and leases stay until their deadlines.
-- KEYS: agents profiles groups idle busy queue
-- ARGS: agent, session
-- RETURNS: OK
-- Prevents: the late end of an old session cutting off the new one.

local a = get_agent(A.agent)
if not a or a.ss ~= A.session then return {o = 'OK'} end
changed_agent(A.agent)
a.wk, a.ss, a.rd = nil, nil, nil
commit()
return {o = 'OK'}
