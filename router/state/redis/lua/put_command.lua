-- put_command: a command stands for its agent until the ACD answers; it replaces an older one.
-- KEYS: commands agents
-- ARGS: agent, command = record
-- RETURNS: OK; NOT_FOUND
-- Prevents: two standing commands for one agent, and one without an owner.

local a = get_agent(A.agent)
if not a then return refuse('NOT_FOUND') end
redis.call('HSET', K.commands, A.agent, cmsgpack.pack(A.command))
tell_site({k = 'command', ag = A.agent, gr = a.gr, src = A.command.src, cmd = A.command})
commit_hints()
return {o = 'OK'}
