-- submit: nothing -> QUEUED or SCHEDULED, for up to 100 tasks.
-- KEYS: @held queue heads queues qrefs meta requests refs
-- ARGS: tasks = [{id, t = record, sp = packed spec}], defs = {queue id = packed definition},
--       max = most tasks a site may hold
-- RETURNS: OK with rows = per task {o, r, new, id, t, sp, cp, rs}
-- Prevents: a repeated submit making a second task, and a task that no queue or schedule names.

local requests, refs, rows = {}, {}, {}
local room = A.max - redis.call('HLEN', K.tasks)

local function earlier(new, id, reason)
  local t = id and get_task(id)
  if not t then return nil end
  if t.fp ~= new.t.fp then return {o = 'ALREADY_EXISTS', r = reason} end
  return {o = 'OK', id = id}
end

local function known_request(new, name)
  return earlier(new, requests[name] or redis.call('HGET', K.requests, name), 'REQUEST_ID_REUSED')
end

local function known_reference(new, name)
  return earlier(new, refs[name] or redis.call('HGET', K.refs, name), 'REFERENCE_TAKEN')
end

local function answered_before(new, request, reference)
  return new.t.rq and known_request(new, request)
    or new.t.ref and known_reference(new, reference)
    or get_task(new.id) and {o = 'ALREADY_EXISTS'}
    or room <= 0 and {o = 'RESOURCE_EXHAUSTED', r = 'SITE_FULL'}
end

local function create(new, request, reference)
  local id, t = new.id, new.t
  t.rev, t.c = nil, NOW
  new_task(id, t)
  redis.call('HSET', K.specs, id, new.sp)
  if t.rq then
    requests[request] = id
    redis.call('HSET', K.requests, request, id)
  end
  if t.ref then
    refs[reference] = id
    redis.call('HSET', K.refs, reference, id)
  end
  if (t.sc or 0) > NOW then
    t.s, t.dl = 'SCHEDULED', earliest(t.sc, t.xp)
  else
    place(t, false)
  end
  arrow(id, t, 'submit', '', 'submitter:' .. (t.sub or ''), '')
  room = room - 1
end

for qid, def in pairs(A.defs) do U.defs[qid] = def end
for i, new in ipairs(A.tasks) do
  local submitter = (new.t.sub or '') .. '|'
  local request, reference = submitter .. (new.t.rq or ''), submitter .. (new.t.ref or '')
  local row = answered_before(new, request, reference)
  if not row then
    create(new, request, reference)
    row = {o = 'OK', id = new.id, new = true}
  end
  rows[i] = row
end
if #U.task_order > 0 then
  if room + #U.task_order == A.max then redis.call('HSETNX', K.meta, 'schema', 1) end
  commit()
end
for _, row in ipairs(rows) do
  if row.new then
    row.t = U.task[row.id]  -- the caller has the rest
  elseif row.o == 'OK' then
    for name, value in pairs(told(row.id)) do row[name] = value end
  end
end
return {o = 'OK', rows = rows}
