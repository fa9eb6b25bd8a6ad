-- set_gate_mode: a supervisor opens or closes a gate by hand, or gives it back to the law.
-- KEYS: gates
-- ARGS: group, mode, until_ms, reason, fresh = the record to start from where there is none
-- RETURNS: OK with g
-- Prevents: a gate that stays open after a supervisor has closed it.

local old = unpacked(redis.call('HGET', K.gates, A.group))
local g = {}
for name, value in pairs(old or A.fresh) do g[name] = value end
g.mo, g.rsn = A.mode, A.reason
if A.mode == 'AUTO' then g.mu = nil else g.mu, g.op = A.until_ms, A.mode == 'OPEN' and 1 or nil end
return save_gate(A.group, old, g)
