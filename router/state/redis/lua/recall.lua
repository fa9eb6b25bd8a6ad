-- recall: ACTIVE -> RECALLING with a notice, or straight back to its queue without one; an offer is rescinded.
-- KEYS: @task
-- ARGS: task, fence, notice (ms), reason, actor, why and pv = the decision behind it (or nil)
-- RETURNS: OK with the task; NOT_FOUND, SUPERSEDED, WRONG_STATE (NOT_INTERRUPTIBLE)
-- Prevents: work that may not be interrupted being interrupted, and a recall that hits the next holder.

local id = A.task
local t, refused = handed_over(id, A.fence, {OFFERED = true, ACTIVE = true})
if not t then return refused end
if t.s == 'OFFERED' then
  rescind_offer(id, t, A.actor, A.reason)
elseif not t.iv then
  return refuse('WRONG_STATE', 'NOT_INTERRUPTIBLE', t.s)
else
  recall_lease(id, t, A.notice, A.actor, A.reason)
end
return done(id)
