-- command_result: the ACD has answered. RESERVE done shows the hidden offer, RESERVE failed takes it back.
-- KEYS: @task
-- ARGS: command, agent, ok, error
-- RETURNS: OK with the task; NONE where no such command stands, or there is no task to speak of
-- Prevents: the answer to an older command acting on a newer one.

local standing = standing_command(A.agent)
if not standing or standing.id ~= A.command then return {o = 'NONE'} end
U.command[A.agent] = false
local id = standing.task
local t = standing.kind == 'RESERVE' and id and get_task(id)
if not t then
  commit()
  return {o = 'NONE'}
end
if t.s == 'OFFERED' and t.f == standing.f and t.ag == A.agent then
  if not A.ok then
    local reason = 'RESERVE_FAILED' .. (A.error and A.error ~= '' and ': ' .. A.error or '')
    rescind_offer(id, t, 'acd:' .. (standing.src or ''), reason)
  elseif t.hid then
    show_offer(id, t)
  end
end
return done(id)
