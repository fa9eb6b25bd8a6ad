-- purge: tasks that ended long ago are forgotten with all that belongs to them.
-- KEYS: @task requests refs
-- ARGS: before (ms), limit (<= 100)
-- RETURNS: OK with n = tasks forgotten
-- Prevents: a store that grows for ever, and fields whose task is gone (invariant 13).

local below = '(' .. whole(A.before)
local ids = redis.call('ZRANGEBYSCORE', K.ended, '-inf', below, 'LIMIT', 0, A.limit)
for _, id in ipairs(ids) do
  local t = get_task(id)
  count_step(t, t.s, '', 'purge')
  adjust_plan(U.task_was[id].pl, -1)
  for _, name in ipairs({'tasks', 'specs', 'checkpoints', 'results'}) do redis.call('HDEL', K[name], id) end
  redis.call('ZREM', K.ended, id)
  local submitter = (t.sub or '') .. '|'
  if t.ref then redis.call('HDEL', K.refs, submitter .. t.ref) end
  if t.rq then redis.call('HDEL', K.requests, submitter .. t.rq) end
end
commit()
return {o = 'OK', n = #ids}
