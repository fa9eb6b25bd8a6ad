-- advance: what is due for a task: schedule, relax, offer timeout, lease timeout, force, unpark or expire.
-- KEYS: @task
-- ARGS: task
-- RETURNS: OK with the task; NONE when nothing is due (any more)
-- Prevents: a sweep acting on a deadline that has been moved since it looked, and work stuck with a silent desktop.

local id = A.task
local t = get_task(id)
if not t then
  redis.call('ZREM', K.due, id)
  return {o = 'NONE'}
end
if not t.dl or t.dl > NOW then return {o = 'NONE'} end
local source = t.s

local function expire()
  local agent_id = t.ag
  if source == 'PARKED' then unpark(id, t, 'EXPIRED') end
  finish(t, 'EXPIRED', 'EXPIRED')
  arrow(id, t, 'expire', source, 'router', 'EXPIRED', agent_id)
end

local act = {}

function act.SCHEDULED()
  place(t, false)
  arrow(id, t, 'schedule', source, 'router', 'SCHEDULED')
end

function act.QUEUED()
  local reason = t.ru and 'RESUME_OVER' or 'RELAXED'
  place(t, t.pf ~= nil)
  arrow(id, t, 'relax', source, 'router', reason)
end

function act.OFFERED()
  tell_holder(t, {k = 'rescind', tid = id, r = 'OFFER_TIMEOUT'})
  local agent_id = let_go(id, t)
  exclude(t, agent_id)
  place(t, true)
  arrow(id, t, 'offer_timeout', source, 'router', 'OFFER_TIMEOUT', agent_id)
end

function act.ACTIVE()
  tell_holder(t, {k = 'revoke', tid = id, r = 'LEASE_TIMEOUT'})
  local agent_id = let_go(id, t)
  t.at = (t.at or 0) + 1
  if t.at >= (t.ma or 0) then
    finish(t, 'DEAD_LETTER', 'LEASE_TIMEOUT')
  else
    place(t, false)
  end
  arrow(id, t, 'lease_timeout', source, 'router', 'LEASE_TIMEOUT', agent_id)
end

function act.RECALLING()
  force_back(id, t, 'router', 'NOTICE_OVER')
end

function act.PARKED()
  local agent_id = t.ag
  unpark(id, t, 'PARK_OVER')
  place_for(t, agent_id)
  arrow(id, t, 'unpark', source, 'router', 'PARK_OVER', agent_id)
end

local expires = source == 'SCHEDULED' or source == 'QUEUED' or source == 'PARKED'
if expires and t.xp and t.xp <= NOW then expire() else act[source]() end
return done(id)
