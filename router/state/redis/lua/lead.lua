-- lead: a worker becomes or stays the leader of a group for a while.
-- KEYS: leads
-- ARGS: group, worker, ttl (ms)
-- RETURNS: OK with term, 0 when another leads
-- Prevents: two leaders of one group at one time; a term never comes back.

local lead = unpacked(redis.call('HGET', K.leads, A.group))
local live = lead and NOW < (lead['until'] or 0)
if live and lead.w ~= A.worker then return {o = 'OK', term = 0} end
local term = (lead and lead.term or 0) + (live and 0 or 1)
redis.call('HSET', K.leads, A.group, cmsgpack.pack({w = A.worker, term = term, ['until'] = NOW + A.ttl}))
return {o = 'OK', term = term}
