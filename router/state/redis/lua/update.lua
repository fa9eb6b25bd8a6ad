-- update: what the submitter said changes; a waiting task moves to its new place, a held one keeps its holder unless taken back.
-- KEYS: @task
-- ARGS: task, actor, reason (or nil), rev (or nil), sp = packed spec or nil, set = routing fields or nil (empty ones erase),
--       plan = {o, pl} or nil, defs = {queue id = packed definition}, take_back
-- RETURNS: OK with the task; NOT_FOUND, ETAG_MISMATCH, WRONG_STATE
-- Prevents: a lost update, and a task that waits in a queue it no longer belongs to.

local id = A.task
local t = get_task(id)
if not t then return refuse('NOT_FOUND') end
if A.rev and A.rev ~= t.rev then return refuse('ETAG_MISMATCH', nil, t.s) end
if TERMINAL[t.s] or t.s == 'DEAD_LETTER' then return refuse('WRONG_STATE', nil, t.s) end

local function targets_agent()
  return queue_def((plan_step(t))).ag ~= nil
end

-- Takes the task from its agent; returns that agent, or nil where nobody had it.
local function taken_back(source)
  local agent_id = t.ag
  if HELD[source] then
    tell_taken(id, t, 'TAKEN_BACK')
    let_go(id, t)
  else
    unpark(id, t, 'TAKEN_BACK')
  end
  return agent_id
end

local source, was_front, agent_id = t.s, t.pf ~= nil, t.ag
for qid, def in pairs(A.defs) do U.defs[qid] = def end
if A.sp then redis.call('HSET', K.specs, id, A.sp) end
for name, value in pairs(A.set or {}) do t[name] = value end
for name, value in pairs(A.plan or {}) do t[name] = value end
clean(t)
local reason = ''
if source == 'SCHEDULED' then
  t.dl = earliest(t.sc or NOW, t.xp)
elseif source == 'QUEUED' and A.plan then
  place(t, was_front and not targets_agent())
elseif source == 'QUEUED' then
  local _, upcoming = plan_step(t)
  t.dl = earliest(t.ru or upcoming, t.xp)
elseif A.take_back then
  reason = 'TAKEN_BACK'
  taken_back(source)
  place(t, not targets_agent())
end
arrow(id, t, 'update', source, A.actor, A.reason or reason, agent_id)
return done(id)
