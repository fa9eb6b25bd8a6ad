-- set_gate: the live leader writes its group's gate; a supervisor's mode stays while it lasts.
-- KEYS: gates leads
-- ARGS: group, gate = record
-- RETURNS: OK with g; SUPERSEDED
-- Prevents: a leader of an earlier term opening the gate, and the law overruling a supervisor.

local lead = unpacked(redis.call('HGET', K.leads, A.group))
if not lead or lead.term ~= (A.gate.te or 0) or NOW >= lead['until'] then return refuse('SUPERSEDED') end
local old = unpacked(redis.call('HGET', K.gates, A.group))
local g = A.gate
if old and old.mo ~= 'AUTO' and (not old.mu or NOW < old.mu) then
  g.mo, g.mu, g.op = old.mo, old.mu, old.mo == 'OPEN' and 1 or nil
else
  g.mo, g.mu = 'AUTO', nil
end
return save_gate(A.group, old, g)
