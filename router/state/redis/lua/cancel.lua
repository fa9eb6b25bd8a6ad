-- cancel: any state but a terminal one -> CANCELED.
-- KEYS: @task
-- ARGS: task, reason, actor, rev (or nil)
-- RETURNS: OK with the task; NOT_FOUND, ETAG_MISMATCH, WRONG_STATE
-- Prevents: a canceled task that still stands in a queue or in an agent's hands.

local id = A.task
local t = get_task(id)
if not t then return refuse('NOT_FOUND') end
if t.s == 'CANCELED' then return same(id) end
if TERMINAL[t.s] then return refuse('WRONG_STATE', nil, t.s) end
if A.rev and A.rev ~= t.rev then return refuse('ETAG_MISMATCH', nil, t.s) end
local source, agent_id = t.s, t.ag
if HELD[source] then
  tell_taken(id, t, 'CANCELED')
  let_go(id, t)
elseif source == 'PARKED' then
  unpark(id, t, 'CANCELED')
end
finish(t, 'CANCELED', A.reason)
arrow(id, t, 'cancel', source, A.actor, A.reason, agent_id)
return done(id)
