-- rescind: OFFERED -> QUEUED (front), by the router.
-- KEYS: @task
-- ARGS: task, fence, reason, actor, why and pv = the decision behind it (or nil)
-- RETURNS: OK with the task; NOT_FOUND, SUPERSEDED, WRONG_STATE
-- Prevents: an offer taken back after the agent has accepted it, or one that is not the offer meant.

local t, refused = handed_over(A.task, A.fence, {OFFERED = true})
if not t then return refused end
rescind_offer(A.task, t, A.actor, A.reason)
return done(A.task)
