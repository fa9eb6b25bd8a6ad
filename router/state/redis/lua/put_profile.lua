-- put_profile: an agent's profile is created or replaced; its live state stays.
-- KEYS: agents profiles groups idle busy meta queue
-- ARGS: agent, set = profile fields (empty ones erase), blob = the rest of the profile, etag (0 create, n replace, nil any)
-- RETURNS: OK with a, pf; ALREADY_EXISTS, NOT_FOUND, ETAG_MISMATCH, WRONG_STATE (HOLDS_TASKS)
-- Prevents: a lost update, and an agent that leaves a group's counters or exceeds its capacity with tasks in hand.

local id = A.agent
local a = get_agent(id)
if a and A.etag == 0 then return refuse('ALREADY_EXISTS') end
if not a and A.etag and A.etag > 0 then return refuse('NOT_FOUND') end
if a and A.etag and A.etag ~= a.rev then return refuse('ETAG_MISMATCH') end
if a and a.on and ((a.gr or '') ~= A.set.gr or A.set.cap < size(a.on)) then
  return refuse('WRONG_STATE', 'HOLDS_TASKS')
end
if a then
  changed_agent(id)
else
  a = {v = 1, st = 'OFFLINE', sm = NOW}
  new_agent(id, a)
end
for name, value in pairs(A.set) do a[name] = value end
clean(a)
a.rev = (a.rev or 0) + 1
redis.call('HSET', K.profiles, id, A.blob)
redis.call('HSETNX', K.meta, 'schema', 1)
tell_worker(id, a, {k = 'agent'})
return done_agent(id)
