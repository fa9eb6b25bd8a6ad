-- Shared by every transition. A call reads through get_task / get_agent, changes the tables it got, and ends in
-- done() or commit(), which alone writes: whatever a refusal returns before that has changed nothing.
-- The loader puts the library's name before this text and every transition after it.
--
-- KEYSET held: tasks specs checkpoints results due counts events
-- KEYSET task: tasks specs queue heads queues qrefs due ended counts events agents groups
-- KEYSET task: idle busy meta gates commands checkpoints results

local K     -- the keys of this call by their names
local A     -- the named arguments of this call
local NOW   -- its time in ms
local EXACT -- the same with its fraction: tells which of two calls came first
local U     -- its unit of work: what was read, and what commit() will write

local SHIFT = 4503599627370496  -- 2^52: origins below zero sort too (routing.ORIGIN_SHIFT)
local FRONT_URGENCY = 1e300
local MOST_MOVED = 16  -- more agents that moved at once are not told one by one: the index is read again
local HISTORY_KEPT, DECLINES_KEPT, RECALLS_KEPT, RECALL_WINDOW = 32, 32, 16, 3600000
local EVENTS_KEPT = 200000
local DECIDED = {offer = true, recall = true, rescind = true, force = true}  -- arrows that keep why they were taken
local ARROW, DECISION, EVENT = '\152', '\154', '\155'  -- msgpack's marks of lists of 8, 10 and 11 values
local HELD = {OFFERED = true, ACTIVE = true, RECALLING = true}
local TERMINAL = {COMPLETED = true, CANCELED = true, EXPIRED = true}
local ON_PHONE = {RINGING = true, ON_CALL = true}
local NOT_FOR_CALLS = {RESERVED = true, OFFLINE = true}
local BUSY = {RINGING = true, ON_CALL = true, AFTER_CALL = true}

-- ---------------------------------------------------------------------------------------------- small things
local function whole(n)
  return string.format('%.0f', n)
end

local function order16(ms)
  return string.format('%016.0f', ms + SHIFT)
end

-- The earliest of the times that are set.
local function earliest(...)
  local best
  for i = 1, 4 do
    local at = select(i, ...)
    if at and at ~= 0 and (not best or at < best) then best = at end
  end
  return best
end

-- Records hold neither zeros nor empty texts: who sets a field from outside cleans the record.
local function clean(record)
  for name, value in pairs(record) do
    if value == 0 or value == '' or value == false then record[name] = nil end
  end
  return record
end

local function unpacked(raw)
  return raw and cmsgpack.unpack(raw) or nil
end

-- Lists are texts with one space between the words.
local function has(list, word)
  return list ~= nil and string.find(' ' .. list .. ' ', ' ' .. word .. ' ', 1, true) ~= nil
end

local function with(list, word)
  return list and list ~= '' and list .. ' ' .. word or word
end

local function without(list, word)
  if list == word then return nil end
  local kept
  for item in string.gmatch(list or '', '%S+') do
    if item ~= word then kept = with(kept, item) end
  end
  return kept
end

local function size(list)
  if not list then return 0 end
  local n = 0
  for _ in string.gmatch(list or '', '%S+') do n = n + 1 end
  return n
end

-- ---------------------------------------------------------------------------------------------- queues
-- Definitions and curves never change under their id, so parsed ones are kept between calls.
local PARSED, PARSED_COUNT, PARSED_MAX = {}, 0, 4096

local function parse_curve(text)
  local points = {}
  for x, y in string.gmatch(text or '', '(%S+):(%S+)') do
    points[#points + 1] = {tonumber(x), tonumber(y)}
  end
  return points
end

local function parse_levels(text)
  local needs = {}
  for skill, level in string.gmatch(text or '', '(%S+)=(%d+)') do
    needs[#needs + 1] = {skill, tonumber(level)}
  end
  return needs
end

local function parsed(raw)
  local queue = PARSED[raw]
  if queue then return queue end
  queue = cmsgpack.unpack(raw)
  queue.needs = parse_levels(queue.rq)
  queue.curve = parse_curve(queue.cu)
  queue.front = {wt = queue.wt, ag = queue.ag, tm = queue.tm, an = queue.an, iv = queue.iv, fm = 'front', needs = queue.needs}
  if PARSED_COUNT >= PARSED_MAX then PARSED, PARSED_COUNT = {}, 0 end
  PARSED[raw], PARSED_COUNT = queue, PARSED_COUNT + 1
  return queue
end

local function base_of(qid)
  return string.sub(qid, -1) == '!' and string.sub(qid, 1, -2) or qid
end

local function resume_queue(wt, agent, iv)
  return 'resume:' .. wt .. ':' .. agent .. ':' .. (iv == 1 and '1' or '0')
end

-- The definition of a stored queue, of a front twin (`qid!`) or of a resume queue; nil when its base is not there.
local function read_queue(qid)
  if string.sub(qid, 1, 7) == 'resume:' then
    local wt, agent, flag = string.match(qid, '^resume:([^:]*):([^:]*):(%d)$')
    return {wt = wt, ag = agent, an = 'a:' .. agent, fm = 'front', iv = tonumber(flag), needs = {}}
  end
  local base = base_of(qid)
  local raw = U.defs[base] or redis.call('HGET', K.queues, base)
  if not raw then return nil end
  local queue = parsed(raw)
  return base == qid and queue or queue.front
end

local function queue_def(qid)
  local queue = U.queue[qid]
  if queue == nil then
    queue = read_queue(qid)
    U.queue[qid] = queue or false
  end
  return queue or nil
end

-- The curve of a family, which is the same in every queue of it; kept per site, so that a head needs no definition.
local CURVES, SITES_MAX, SITE_COUNT = {}, 1000, 0

local function curve_of(family, qid)
  local known = CURVES[A.si]
  if not known then
    if SITE_COUNT >= SITES_MAX then CURVES, SITE_COUNT = {}, 0 end
    known = {}
    CURVES[A.si], SITE_COUNT = known, SITE_COUNT + 1
  end
  if not known[family] then known[family] = queue_def(qid).curve end
  return known[family]
end

-- routing.Curve.at, with the same arithmetic in the same order.
local function urgency(family, qid, x)
  if family == 'front' then return FRONT_URGENCY end
  local points = curve_of(family, qid)
  local n = #points
  if n == 1 then return points[1][2] end
  local i = 2
  while i < n and x > points[i][1] do i = i + 1 end
  local x0, y0, x1, y1 = points[i - 1][1], points[i - 1][2], points[i][1], points[i][2]
  return y0 + (x - x0) * (y1 - y0) / (x1 - x0)
end

local function qualified(queue, agent_id, agent, skills)
  if queue.ag and queue.ag ~= agent_id then return false end
  if queue.tm and not has(agent.tm, queue.tm) then return false end
  for i = 1, #queue.needs do
    if (skills[queue.needs[i][1]] or 0) < queue.needs[i][2] then return false end
  end
  return true
end

-- What a profile's skills and teams say, kept between calls by their text: the levels, and for each the range of
-- `heads` in which the anchors lie that belong to it: from, to, length of such an anchor.
local TALENTS, TALENTS_COUNT, TALENTS_MAX = {}, 0, 1024

local function anchor_range(name)
  return {'[' .. name .. '|', '(' .. name .. '}', #name}
end

local function read_talents(agent)
  local skills, ranges = {}, {anchor_range('*')}
  for team in string.gmatch(agent.tm or '', '%S+') do ranges[#ranges + 1] = anchor_range('t:' .. team) end
  for skill, level in string.gmatch(agent.sk or '', '(%S+)=(%d+)') do
    local prefix = 's:' .. skill .. '@'
    skills[skill] = tonumber(level)
    ranges[#ranges + 1] = {'[' .. prefix .. '1|', '(' .. prefix .. level .. '}', #prefix + 1}
  end
  return {skills = skills, ranges = ranges}
end

local function talents_of(agent)
  local text = (agent.sk or '') .. '|' .. (agent.tm or '')
  local known = TALENTS[text]
  if known then return known end
  if TALENTS_COUNT >= TALENTS_MAX then TALENTS, TALENTS_COUNT = {}, 0 end
  known = read_talents(agent)
  TALENTS[text], TALENTS_COUNT = known, TALENTS_COUNT + 1
  return known
end

-- A queue's entry in `heads` is its first member's (invariant 7): anchor, family, origin, queue.
local function head_entry(qid, member)
  local queue = queue_def(qid)
  return queue.an .. '|' .. queue.fm .. '|' .. string.sub(member, #qid + 2, #qid + 17) .. '|' .. qid
end

-- A new first member's entry takes the place of the one of the member behind it.
local function join_line(qid, member)
  redis.call('ZADD', K.queue, 0, member)
  local first = redis.call('ZRANGEBYLEX', K.queue, '[' .. qid .. '|', '(' .. qid .. '}', 'LIMIT', 0, 2)
  if first[1] ~= member then return end
  local old, new = first[2] and head_entry(qid, first[2]), head_entry(qid, member)
  if old == new then return end
  if old then redis.call('ZREM', K.heads, old) end
  redis.call('ZADD', K.heads, 0, new)
end

-- Of a member that was not first `heads` has no entry, or the one that stays: that of a first one as old.
local function leave_line(qid, member)
  redis.call('ZREM', K.queue, member)
  local first = redis.call('ZRANGEBYLEX', K.queue, '[' .. qid .. '|', '(' .. qid .. '}', 'LIMIT', 0, 1)[1]
  local old, new = head_entry(qid, member), first and head_entry(qid, first)
  if old ~= new and redis.call('ZREM', K.heads, old) == 1 and new then redis.call('ZADD', K.heads, 0, new) end
end

-- ---------------------------------------------------------------------------------------------- unit of work
local function new_unit()
  return {
    task = {}, task_was = {}, task_order = {}, agent = {}, agent_was = {}, agent_is = {}, agent_order = {}, defs = {},
    groups = {}, counts = {}, refs = {}, queue = {}, trail = {}, events = {}, hints = {}, work = {}, command = {},
    report = {}, moved = {}, mine = {},
  }
end

local function bump(counters, name, by)
  counters[name] = (counters[name] or 0) + by
end

-- Where a task stands outside its record; commit() moves it from the old footprint to the new one.
local function task_print(id, t)
  local is = {s = t.s, p = t.p or 0, dl = t.dl, hn = t.hn or 0}
  if t.s == 'QUEUED' then is.q, is.member = t.q, t.q .. '|' .. order16(t.o or 0) .. '|' .. id end
  if TERMINAL[t.s] or t.s == 'DEAD_LETTER' then is.ee = t.ee end
  if not TERMINAL[t.s] then is.pl = t.pl end
  return is
end

local function get_task(id)
  local t = U.task[id]
  if t then return t end
  local raw = redis.call('HGET', K.tasks, id)
  if not raw then return nil end
  local from
  from, t = cmsgpack.unpack_limit(raw, 1, 0)
  U.task[id], U.task_was[id] = t, task_print(id, t)
  U.task_was[id].raw, U.task_was[id].from = raw, from
  return t
end

local function changed_task(id)
  if not U.task_order[id] then
    U.task_order[id] = true
    U.task_order[#U.task_order + 1] = id
  end
end

local function new_task(id, t)
  U.task[id], U.task_was[id] = t, {hn = 0}
  changed_task(id)
end

local function agent_print(id, a)
  local n = size(a.on)
  local is = {gr = a.gr, st = a.st, idle = a.st == 'AVAILABLE' and n == 0, on = n > 0, sk = a.sk, tm = a.tm, lv = a.lv, cap = a.cap}
  if n > 0 then is.busy = (a.gr or '-') .. '|' .. id end
  if a.ss and a.rd and not a.dr and n < (a.cap or 0) and (not a.gr or a.st == 'AVAILABLE') then
    is.member = (a.gr or '-') .. '|' .. order16(a.is or 0) .. '|' .. id
  end
  return is
end

local function get_agent(id)
  local a = U.agent[id]
  if a then return a end
  a = unpacked(redis.call('HGET', K.agents, id))
  if not a then return nil end
  U.agent[id], U.agent_was[id] = a, agent_print(id, a)
  return a
end

local function changed_agent(id)
  if not U.agent_order[id] then
    U.agent_order[id] = true
    U.agent_order[#U.agent_order + 1] = id
  end
end

local function new_agent(id, a)
  U.agent[id], U.agent_was[id] = a, {}
  changed_agent(id)
end

-- ---------------------------------------------------------------------------------------------- hints
-- A hint goes to the worker that holds the agent's session; without a session nobody waits for it.
local function tell_worker(agent_id, a, message)
  if not a.ss then return end
  message.ag, message.gr, message.at = agent_id, a.gr, EXACT
  U.hints[#U.hints + 1] = {worker = a.wk or '', message = message}
end

local function tell_holder(t, message)
  tell_worker(t.ag, get_agent(t.ag), message)
end

local function tell_site(message)
  U.hints[#U.hints + 1] = {message = message}
end

local function checkpoint_of(id)
  return U.task[id].cs and redis.call('HGET', K.checkpoints, id) or nil
end

-- What the caller's own worker is to know comes back with the answer, which has the answer's own task; other workers
-- read it from their channel, behind a line that names the caller.
local function publish(worker, message)
  local here = A.me ~= nil and (worker == nil or worker == A.me)
  local id = message.tid
  message.si = A.si
  if id and not (here and id == U.answer) then
    message.t = U.task[id]
    message.sp = redis.call('HGET', K.specs, id) or nil
    message.cp = unpacked(checkpoint_of(id))
  end
  if here then
    U.mine[#U.mine + 1] = message
    if worker then return end
  end
  local channel = worker and 'wr1:w:' .. worker or 'wr1:s:' .. A.si
  redis.call('PUBLISH', channel, (A.me or '') .. '\n' .. cmsgpack.pack(message))
end

-- ---------------------------------------------------------------------------------------------- commit
local function adjust_plan(text, by)
  local seen = {}
  for qid in string.gmatch(text or '', '%S-:(%S+)') do
    if not seen[qid] then
      seen[qid] = true
      bump(U.refs, qid, by)
    end
  end
end

local function commit_place(id, was, is)
  if was.member ~= is.member then
    if was.member then leave_line(was.q, was.member) end
    if is.member then join_line(is.q, is.member) end
  end
  if was.dl ~= is.dl then
    if is.dl then redis.call('ZADD', K.due, whole(is.dl), id) else redis.call('ZREM', K.due, id) end
  end
  if was.ee ~= is.ee then
    if is.ee then redis.call('ZADD', K.ended, whole(is.ee), id) else redis.call('ZREM', K.ended, id) end
  end
end

-- Each step of a task is counted once, by work type; how many tasks are in a state follows (records.tally).
local function count_step(t, source, target, name)
  bump(U.counts, t.wt .. '|' .. source .. '|' .. target .. '|' .. name, 1)
end

local function count_priority(is, by)
  if is.s == 'QUEUED' then bump(U.counts, 'p|' .. whole(is.p), by) end
end

-- The arrow of a submit is not kept until another follows: until then the record says the same.
local function submitted(t, state)
  return ARROW .. cmsgpack.pack(t.c, '', state, 'submit', 'submitter:' .. (t.sub or ''), '', '', 0)
end

-- A task's arrows as they stand behind its record: those it had and the new ones, the latest 32.
local function trail(id, t, was)
  if t.hn == 1 then return '' end
  local new, text, from = U.trail[id] or {}, was.raw, was.from
  if was.hn == 1 then text, from = submitted(t, was.s), 0 end
  for _ = 1, was.hn + #new - HISTORY_KEPT do
    from = cmsgpack.unpack_limit(text, 1, from)
  end
  return string.sub(text, from + 1) .. table.concat(new)
end

local function commit_task(id)
  local t, was = U.task[id], U.task_was[id]
  t.rev, t.ch = (t.rev or 0) + 1, NOW
  local is = task_print(id, t)
  commit_place(id, was, is)
  count_priority(was, -1)
  count_priority(is, 1)
  if was.pl ~= is.pl then
    adjust_plan(was.pl, -1)
    adjust_plan(is.pl, 1)
  end
  redis.call('HSET', K.tasks, id, cmsgpack.pack(t) .. trail(id, t, was))
end

-- A queue's definition lives as long as a task's plan names it (invariant 13).
local function commit_refs(sign)
  for qid, by in pairs(U.refs) do
    if by * sign > 0 then
      local n = redis.call('HINCRBY', K.qrefs, qid, by)
      if n == by and by > 0 then redis.call('HSET', K.queues, qid, U.defs[qid]) end
      if n <= 0 then
        redis.call('HDEL', K.qrefs, qid)
        redis.call('HDEL', K.queues, qid)
      end
    end
  end
end

local function group_of(name)
  local group = U.groups[name]
  if not group then
    group = unpacked(redis.call('HGET', K.groups, name)) or {}
    U.groups[name] = group
  end
  return group
end

local function count_agent(is, by)
  if not is.gr then return end
  local group = group_of(is.gr)
  bump(group, 'n_' .. is.st, by)
  if is.idle then bump(group, 'idle', by) end
  if is.on then bump(group, 'ont', by) end
end

local function account_time(a)
  if BUSY[a.st] or a.on then
    a.bs = a.bs or NOW
  elseif a.bs then
    local busy = (a.bz or 0) + NOW - a.bs
    a.bz, a.bs = busy > 0 and busy or nil, nil
  end
  if a.on or NOT_FOR_CALLS[a.st] then a.fr = nil else a.fr = a.fr or NOW end
end

local function commit_agent(id)
  local a, was = U.agent[id], U.agent_was[id]
  account_time(a)
  local is = agent_print(id, a)
  U.agent_is[id] = is
  if was.gr ~= is.gr or was.st ~= is.st or was.idle ~= is.idle or was.on ~= is.on then
    count_agent(was, -1)
    count_agent(is, 1)
  end
  if was.busy ~= is.busy then
    if was.busy then redis.call('ZREM', K.busy, was.busy) end
    if is.busy then redis.call('ZADD', K.busy, 0, is.busy) end
  end
  if was.member ~= is.member then
    if was.member then redis.call('ZREM', K.idle, was.member) end
    if is.member then redis.call('ZADD', K.idle, 0, is.member) end
  end
  local differs = was.sk ~= is.sk or was.tm ~= is.tm or was.lv ~= is.lv or was.cap ~= is.cap
  if is.member ~= was.member or is.member and differs then U.moved[#U.moved + 1] = id end
  redis.call('HSET', K.agents, id, cmsgpack.pack(a))
end

local function commit_groups()
  for name, group in pairs(U.groups) do
    clean(group)
    if next(group) then
      redis.call('HSET', K.groups, name, cmsgpack.pack(group))
    else
      redis.call('HDEL', K.groups, name)
    end
  end
end

local function commit_commands()
  for agent, command in pairs(U.command) do
    if command then
      redis.call('HSET', K.commands, agent, cmsgpack.pack(command))
    else
      redis.call('HDEL', K.commands, agent)
    end
  end
end

local function commit_counters()
  for name, by in pairs(U.counts) do
    if by ~= 0 and redis.call('HINCRBY', K.counts, name, by) == 0 then redis.call('HDEL', K.counts, name) end
  end
end

local function commit_events()
  for i = 1, #U.events do redis.call('XADD', K.events, 'MAXLEN', '~', EVENTS_KEPT, '*', 'e', U.events[i]) end
end

local function queued()
  return redis.call('ZCARD', K.queue)
end

-- Who matches hears of each agent that came into the idle index, or changed in it, with its record and how many tasks
-- the site had queued then; and of each that left it, unless a leader took it out.
local function tell_moved(id)
  local a, was, is = U.agent[id], U.agent_was[id], U.agent_is[id]
  if was.member and (was.gr ~= is.gr or not is.member and A.mode ~= 'OFFER') then
    publish(nil, {k = 'busy', ag = id, gr = was.gr, at = EXACT})
  end
  if is.member then
    publish(nil, {k = 'idle', ag = id, gr = is.gr, a = a, at = EXACT, q = queued()})
  end
end

local function commit_hints()
  for _, hint in ipairs(U.hints) do publish(hint.worker, hint.message) end
  local placed, order = {}, {}
  for _, qid in ipairs(U.work) do
    local anchor = queue_def(qid).an
    if not placed[anchor] then order[#order + 1] = anchor end
    bump(placed, anchor, 1)
  end
  for _, anchor in ipairs(order) do publish(nil, {k = 'work', an = anchor, at = EXACT, n = placed[anchor]}) end
  if #U.moved <= MOST_MOVED then
    for _, id in ipairs(U.moved) do tell_moved(id) end
  else
    publish(nil, {k = 'idle'})
  end
  for _, message in ipairs(U.report) do publish(nil, message) end
end

local function commit()
  for i = 1, #U.task_order do commit_task(U.task_order[i]) end
  commit_refs(1)
  for i = 1, #U.agent_order do commit_agent(U.agent_order[i]) end
  commit_groups()
  commit_commands()
  commit_counters()
  commit_events()
  commit_hints()
  commit_refs(-1)
end

-- ---------------------------------------------------------------------------------------------- replies
local function refuse(outcome, reason, state)
  return {o = outcome, r = reason, s = state}
end

-- A late actor is told who holds the task now, and under which fence.
local function superseded(t)
  return {o = 'SUPERSEDED', s = t.s, ag = t.ag, f = t.f or 0}
end

local function told(id)
  local t = U.task[id]
  local result = t.s == 'COMPLETED' and redis.call('HGET', K.results, id) or nil
  return {id = id, t = t, sp = redis.call('HGET', K.specs, id) or nil, cp = checkpoint_of(id), rs = result}
end

-- The answer with the task as it stands now; nothing is written.
local function same(id)
  local reply = told(id)
  reply.o = 'OK'
  return reply
end

-- Writes everything, then answers with the task.
local function done(id)
  U.answer = id
  commit()
  local reply = same(id)
  for agent, command in pairs(U.command) do
    if command and command.kind == 'RELEASE' then reply.cmd, reply.cmd_agent = command, agent end
  end
  return reply
end

local function done_agent(id)
  commit()
  return {o = 'OK', a = U.agent[id], pf = redis.call('HGET', K.profiles, id) or nil}
end

local GATE_WORDS = {'mo', 'op', 'al', 're', 'rf'}

-- Stores a gate; who waits for it is told when it lets others through than before.
local function save_gate(group, old, gate)
  clean(gate)
  redis.call('HSET', K.gates, group, cmsgpack.pack(gate))
  local differs = not old or NOW >= (old.vu or 0)
  for _, word in ipairs(GATE_WORDS) do differs = differs or old[word] ~= gate[word] end
  if differs then
    tell_site({k = 'gate', gr = group})
    commit_hints()
  end
  return {o = 'OK', g = gate}
end

-- ---------------------------------------------------------------------------------------------- steps of transitions
-- Records one arrow of the lifecycle for the task's history, the event stream and the counts.
local function arrow(id, t, name, source, actor, reason, agent)
  changed_task(id)
  t.hn = math.min(HISTORY_KEPT, (t.hn or 0) + 1)
  local steps = cmsgpack.pack(NOW, source, t.s, name, actor or '', reason or '', agent or t.ag or '', t.f or 0)
  U.events[#U.events + 1] = EVENT .. cmsgpack.pack(id, t.wt, t.sub or '') .. steps
  local new = U.trail[id] or {}
  U.trail[id] = new
  if DECIDED[name] and A.why then
    new[#new + 1] = DECISION .. steps .. cmsgpack.pack(A.why, A.pv or t.pv or 0)
  else
    new[#new + 1] = ARROW .. steps
  end
  count_step(t, source, t.s, name)
end

local function next_fence()
  return redis.call('HINCRBY', K.meta, 'fence', 1)
end

local function leave_queue(t)
  t.q, t.pf, t.rt, t.ru = nil, nil, nil, nil
end

local function clear_holder(t)
  t.ag, t.hid, t.oa, t.aa = nil, nil, nil, nil
end

-- The queue of the plan's step that applies now, and the time of the step after it.
local function plan_step(t)
  local qid, upcoming
  for at, step in string.gmatch(t.pl or '', '(%S-):(%S+)') do
    at = tonumber(at)
    if not qid or at <= NOW then
      qid, upcoming = step, nil
    elseif not upcoming then
      upcoming = at
    end
  end
  return qid, upcoming
end

local function place(t, front)
  local qid, upcoming = plan_step(t)
  leave_queue(t)
  clear_holder(t)
  t.s, t.q, t.pf = 'QUEUED', front and qid .. '!' or qid, front and 1 or nil
  t.dl = earliest(upcoming, t.xp)
  U.work[#U.work + 1] = t.q
end

-- For its resume window a task taken from an agent waits for that agent alone, in front.
local function place_for(t, agent)
  if (t.rs or 0) <= 0 then return place(t, true) end
  leave_queue(t)
  clear_holder(t)
  t.s, t.q, t.pf = 'QUEUED', resume_queue(t.wt, agent, t.iv), 1
  t.rt, t.ru = agent, NOW + t.rs
  t.dl = earliest(t.ru, t.xp)
  U.work[#U.work + 1] = t.q
end

local function exclude(t, agent)
  if (t.dx or 0) <= 0 then return end
  local kept, n = {}, 0
  for name, until_ms in string.gmatch(t.dec or '', '(%S+):(%d+)') do
    if name ~= agent and tonumber(until_ms) > NOW then kept[#kept + 1] = name .. ':' .. until_ms end
  end
  kept[#kept + 1] = agent .. ':' .. whole(NOW + t.dx)
  n = #kept
  t.dec = table.concat(kept, ' ', math.max(1, n - DECLINES_KEPT + 1))
end

local function excluded(t, agent)
  if has(t.ex, agent) then return true end
  for name, until_ms in string.gmatch(t.dec or '', '(%S+):(%d+)') do
    if name == agent and tonumber(until_ms) > NOW then return true end
  end
  return false
end

local function gate_of(a)
  return a.gr and unpacked(redis.call('HGET', K.gates, a.gr)) or nil
end

local function standing_command(agent)
  if U.command[agent] ~= nil then return U.command[agent] or nil end
  return unpacked(redis.call('HGET', K.commands, agent))
end

local function command(kind, agent_id, a, task, t)
  local id = 'c' .. whole(redis.call('HINCRBY', K.meta, 'command', 1))
  local record = clean({id = id, kind = kind, src = a.src, task = task, f = t.f or 0, at = NOW})
  U.command[agent_id] = record
  tell_site({k = 'command', ag = agent_id, gr = a.gr, src = a.src, cmd = record})
end

-- The last task of an agent that was taken out of the call distribution has ended: it is put back.
local function release_agent(agent_id, a, task, t)
  if not a.gr then return end
  local standing = standing_command(agent_id)
  if a.st ~= 'RESERVED' and not (standing and standing.kind == 'RESERVE') then return end
  local gate = gate_of(a)
  if gate and gate.ac then command('RELEASE', agent_id, a, task, t) end
end

-- Takes the task off its holder's hands; the task's own record is the caller's business.
local function let_go(id, t)
  local agent_id = t.ag
  local a = get_agent(agent_id)
  changed_agent(agent_id)
  a.on = without(a.on, id)
  if not a.on then
    a.is = NOW
    release_agent(agent_id, a, id, t)
  end
  return agent_id
end

-- A task that ends or moves goes from its holder: an offer is withdrawn, a lease revoked.
local function tell_taken(id, t, reason)
  tell_holder(t, {k = t.s == 'OFFERED' and 'rescind' or 'revoke', tid = id, r = reason})
end

local function unpark(id, t, reason)
  tell_taken(id, t, reason)
  local a = get_agent(t.ag)
  changed_agent(t.ag)
  a.pk = without(a.pk, id)
end

local function rescind_offer(id, t, actor, reason)
  tell_holder(t, {k = 'rescind', tid = id, r = reason})
  local agent_id = let_go(id, t)
  place(t, true)
  arrow(id, t, 'rescind', 'OFFERED', actor, reason, agent_id)
end

local function note_recall(t, a)
  t.nr = (t.nr or 0) + 1
  local times, n = {}, 0
  for at in string.gmatch(a.rc or '', '%S+') do
    if tonumber(at) > NOW - RECALL_WINDOW then times[#times + 1] = at end
  end
  times[#times + 1] = whole(NOW)
  n = #times
  a.rc = table.concat(times, ' ', math.max(1, n - RECALLS_KEPT + 1))
end

local function force_back(id, t, actor, reason)
  local source = t.s
  if source == 'ACTIVE' then note_recall(t, get_agent(t.ag)) end
  tell_holder(t, {k = 'revoke', tid = id, r = reason})
  local agent_id = let_go(id, t)
  place_for(t, agent_id)
  arrow(id, t, 'force', source, actor, reason, agent_id)
end

local function recall_lease(id, t, notice, actor, reason)
  if notice <= 0 then return force_back(id, t, actor, reason) end
  note_recall(t, get_agent(t.ag))
  changed_agent(t.ag)
  t.s, t.dl = 'RECALLING', NOW + notice
  arrow(id, t, 'recall', 'ACTIVE', actor, reason)
  tell_holder(t, {k = 'recall', tid = id, r = reason, nm = notice})
end

local function activate(id, t)
  t.s, t.hid, t.aa, t.dl = 'ACTIVE', nil, NOW, NOW + (t.ls or 0)
  arrow(id, t, 'accept', 'OFFERED', 'agent:' .. t.ag, '')
end

-- The desktop may see the offer: its time starts now, or the agent's setting accepts it at once.
local function show_offer(id, t)
  t.hid = nil
  if get_agent(t.ag).aa then activate(id, t) else t.dl = NOW + (t.of or 0) end
  changed_task(id)
  tell_holder(t, {k = 'offer', tid = id})
end

local function finish(t, state, reason)
  leave_queue(t)
  t.s, t.dl, t.ee, t.er = state, nil, NOW, reason ~= '' and reason or nil
  if state ~= 'COMPLETED' then clear_holder(t) end
end

local function save_checkpoint(id, t, data)
  t.cs = (t.cs or 0) + 1
  redis.call('HSET', K.checkpoints, id, cmsgpack.pack({t.cs, NOW, data}))
end

-- The holder's own act that ended the holding under the live fence; a repeat of it is answered, not refused.
local function ended_by(t, name, agent)
  t.le = name .. ' ' .. agent
end

local function already_ended(id, name)
  local t = get_task(id)
  return t and (t.f or 0) == A.fence and t.le == name .. ' ' .. A.agent and same(id) or nil
end

-- The checks that every act of a holder shares; returns the task, or nil and the refusal.
local function held_by(id, agent, fence, allowed)
  local t = get_task(id)
  if not t then return nil, refuse('NOT_FOUND') end
  if (t.f or 0) ~= fence then return nil, superseded(t) end
  if not t.ag then return nil, refuse('WRONG_STATE', nil, t.s) end
  if t.ag ~= agent then return nil, refuse('NOT_HOLDER', nil, t.s) end
  if not allowed[t.s] then return nil, refuse('WRONG_STATE', nil, t.s) end
  return t
end

-- The same for the router's and a supervisor's acts, which name the hand-over but no agent.
local function handed_over(id, fence, allowed)
  local t = get_task(id)
  if not t then return nil, refuse('NOT_FOUND') end
  if (t.f or 0) ~= fence then return nil, superseded(t) end
  if not allowed[t.s] then return nil, refuse('WRONG_STATE', nil, t.s) end
  return t
end

-- ---------------------------------------------------------------------------------------------- may this agent be given work?
local function gate_refusal(a, gate)
  if not gate or gate.mo == 'CLOSED' then return 'GATE_CLOSED' end
  if NOW >= (gate.vu or 0) then return 'GATE_EXPIRED' end
  if gate.mo ~= 'AUTO' and gate.mu and NOW >= gate.mu then return 'GATE_CLOSED' end
  if not gate.op then return 'GATE_CLOSED' end
  if NOW - (a.is or 0) < (gate.mi or 0) then return 'TOO_SOON' end
end

local function feed_is_stale(a, gate)
  if not a.src then return true end
  local feed = unpacked(redis.call('HGET', K.feeds, a.src))
  return not feed or NOW - (feed.at or 0) > (gate and (gate.sa or 0) or 10000)
end

local function group_refusal(a, gate, group)
  if feed_is_stale(a, gate) then return 'FEED_STALE' end
  local reason = gate_refusal(a, gate)
  if reason then return reason end
  if a.on then return nil end  -- it counts as on tasks already, and takes nobody idle away
  if (group.ont or 0) >= (gate.al or 0) then return 'ALLOWANCE_REACHED' end
  if (group.idle or 0) <= (gate.re or 0) then return 'RESERVE_HELD' end
end

-- While the ACD is still asked to take the agent out of the call distribution, nothing more is given to it.
local function being_reserved(agent_id)
  local standing = standing_command(agent_id)
  return standing ~= nil and standing.kind == 'RESERVE'
end

-- Why the agent may get nothing now (a NoTask word), or nil, its gate and whether firm work is held back.
local function refusal(agent_id, a, mode)
  if mode == 'OFFER' and not a.ss then return 'NOT_CONNECTED' end
  local pulls_freely = mode == 'LEASE' and not a.gr
  if a.ss and not a.rd and not pulls_freely then return 'NOT_READY' end
  if a.dr then return 'DRAINING' end
  if a.gr and (a.st ~= 'AVAILABLE' or being_reserved(agent_id)) then return 'NOT_AVAILABLE' end
  if size(a.on) >= (a.cap or 0) then return 'NO_CAPACITY' end
  if not a.gr then return nil end
  local gate, group = gate_of(a), group_of(a.gr)
  local reason = group_refusal(a, gate, group)
  if reason then return reason end
  return nil, gate, not a.on and (group.idle or 0) <= (gate.rf or 0)
end

-- Gives the task to the agent under a new fence. The caller has checked everything.
local function hand_over(id, t, agent_id, a, gate, mode)
  local source = t.s
  leave_queue(t)
  t.rf = mode == 'RESUME' and t.f or nil
  t.ag, t.f, t.le = agent_id, next_fence(), nil
  if mode ~= 'RESUME' then t.why = A.why end
  t.pv = gate and gate.pv or nil
  a.on = with(a.on, id)
  changed_agent(agent_id)
  local controlled = gate ~= nil and gate.ac ~= nil
  if mode == 'OFFER' then
    t.s, t.oa, t.aa, t.dl, t.hid = 'OFFERED', NOW, nil, NOW + (t.of or 0), controlled and 1 or nil
    arrow(id, t, 'offer', source, A.actor, '')
    if not controlled then
      if a.aa then activate(id, t) end
      tell_worker(agent_id, a, {k = 'offer', tid = id})
    end
  else
    t.s, t.oa, t.aa, t.dl = 'ACTIVE', nil, NOW, NOW + (t.ls or 0)
    arrow(id, t, mode == 'RESUME' and 'resume' or 'pull', source, A.actor, '')
  end
  if controlled then command('RESERVE', agent_id, a, id, t) end
end

-- ---------------------------------------------------------------------------------------------- registration
-- The store's clock: whole milliseconds, and with their fraction.
local function clock()
  local now = redis.call('TIME')
  local exact = tonumber(now[1]) * 1000 + tonumber(now[2]) / 1000
  return math.floor(exact), exact
end

local function given(text)
  local now = tonumber(text)
  return now, now
end

local function transition(name, names, flags, body)
  local named, count = {}, 0  -- the keys by name, kept per site under the first of them
  local function by_name(keys)
    if count >= SITES_MAX then named, count = {}, 0 end
    local site = {}
    for i = 1, #names do site[names[i]] = keys[i] end
    named[keys[1]], count = site, count + 1
    return site
  end
  redis.register_function({
    function_name = name,
    flags = flags,
    callback = function(keys, args)
      K = named[keys[1]] or by_name(keys)
      A = cmsgpack.unpack(args[2])
      NOW, EXACT = (args[1] ~= '' and given or clock)(args[1])
      U = new_unit()
      local reply = body()
      if U.mine[1] then reply.h = U.mine end
      return cmsgpack.pack(reply)
    end,
  })
end
