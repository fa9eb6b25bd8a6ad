-- delete_profile: an agent that is not connected and holds nothing is forgotten.
-- KEYS: agents profiles groups idle busy commands
-- ARGS: agent, etag (n or nil)
-- RETURNS: OK; NOT_FOUND, ETAG_MISMATCH, WRONG_STATE (CONNECTED, HOLDS_TASKS)
-- Prevents: tasks held or parked by an agent that does not exist.

local id = A.agent
local a = get_agent(id)
if not a then return refuse('NOT_FOUND') end
if A.etag and A.etag ~= a.rev then return refuse('ETAG_MISMATCH') end
if a.ss then return refuse('WRONG_STATE', 'CONNECTED') end
if a.on or a.pk then return refuse('WRONG_STATE', 'HOLDS_TASKS') end
count_agent(U.agent_was[id], -1)
commit_groups()
redis.call('HDEL', K.agents, id)
redis.call('HDEL', K.profiles, id)
redis.call('HDEL', K.commands, id)
return {o = 'OK'}
