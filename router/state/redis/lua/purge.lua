-- purge: tasks that ended long ago are forgotten with all that belongs to them, and old request ids.
-- KEYS: @task requests requests_at refs
-- ARGS: before (ms), limit (<= 100)
-- RETURNS: OK with n = tasks forgotten
-- Prevents: a store that grows for ever, and fields whose task is gone (invariant 13).

local below = '(' .. whole(A.before)
local ids = redis.call('ZRANGEBYSCORE', K.ended, '-inf', below, 'LIMIT', 0, A.limit)
for _, id in ipairs(ids) do
  local t = get_task(id)
  count_task(U.task_was[id], -1)
  adjust_plan(U.task_was[id].pl, -1)
  for _, name in ipairs({'tasks', 'specs', 'checkpoints', 'results'}) do redis.call('HDEL', K[name], id) end
  redis.call('ZREM', K.ended, id)
  local reference = (t.sub or '') .. '|' .. (t.ref or '')
  if redis.call('HGET', K.refs, reference) == id then redis.call('HDEL', K.refs, reference) end
end
local requests = redis.call('ZRANGEBYSCORE', K.requests_at, '-inf', below, 'LIMIT', 0, A.limit)
for _, request in ipairs(requests) do
  redis.call('HDEL', K.requests, request)
  redis.call('ZREM', K.requests_at, request)
end
commit()
return {o = 'OK', n = #ids}
