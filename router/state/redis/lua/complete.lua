-- complete: ACTIVE or RECALLING -> COMPLETED.
-- KEYS: @task
-- ARGS: task, agent, fence, result, outcome
-- RETURNS: OK with the task; NOT_FOUND, SUPERSEDED, NOT_HOLDER, WRONG_STATE
-- Prevents: a second completion, and one by somebody who no longer holds the task.

local id = A.task
local t, refused = held_by(id, A.agent, A.fence, {ACTIVE = true, RECALLING = true, COMPLETED = true})
if not t then return refused end
if t.s == 'COMPLETED' then return same(id) end
local source = t.s
let_go(id, t)
finish(t, 'COMPLETED', A.outcome)
local result = clean({r = A.result, oc = A.outcome})
if next(result) then redis.call('HSET', K.results, id, cmsgpack.pack(result)) end
arrow(id, t, 'complete', source, 'agent:' .. A.agent, A.outcome)
return done(id)
