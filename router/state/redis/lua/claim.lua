-- claim: QUEUED -> OFFERED (or ACTIVE for a pull or an agent that accepts everything).
-- KEYS: @task feeds paused
-- ARGS: agent, mode = OFFER | LEASE, task = a named task or nil, cursor, actor, why, once (or nil)
-- RETURNS: OK with the task and an = the shelf it was on; NONE with r = why none (a NoTask word) and cursor; NOT_FOUND for a named task
-- Prevents: a task handed to two agents, to one that is not available, or past the gate (invariants 1 to 6).
-- Both tell qd = tasks that the site has queued still.
-- Cost: the agent's anchors and at most 64 looks, whatever the number of queues, tasks and agents.

local LOOKS, CHUNK = 64, 16
local agent_id = A.agent
local a = get_agent(agent_id)
if not a then return {o = 'NONE', r = 'UNKNOWN_AGENT'} end

-- A pull that is repeated is answered with the lease that it got.
for held in string.gmatch(A.once and a.on or '', '%S+') do
  local t = get_task(held)
  if t.s ~= 'OFFERED' and t.why == A.why then return same(held) end
end

local reason, gate, firm_held = refusal(agent_id, a, A.mode)
if reason then return {o = 'NONE', r = reason} end

local talents = talents_of(a)
local skills = talents.skills
local any_paused = redis.call('HLEN', K.paused) > 0
local looks, skipped, more = 0, false, false

local function paused(qid, queue)
  if not any_paused then return false end
  local found = redis.call('HMGET', K.paused, 'wt:' .. queue.wt, 'q:' .. base_of(qid))
  return found[1] or found[2]
end

local function won(id)
  local t = get_task(id)
  local anchor = queue_def(t.q).an
  hand_over(id, t, agent_id, a, gate, A.mode)
  local reply = done(id)
  reply.an, reply.qd = anchor, queued()
  return reply
end

local function named(id)
  local t = get_task(id)
  if not t then return refuse('NOT_FOUND') end
  if t.s ~= 'QUEUED' then return {o = 'NONE', r = 'NOT_QUEUED'} end
  local queue = queue_def(t.q)
  if not qualified(queue, agent_id, a, skills) then return {o = 'NONE', r = 'NOT_QUALIFIED'} end
  if excluded(t, agent_id) then return {o = 'NONE', r = 'EXCLUDED'} end
  if paused(t.q, queue) then return {o = 'NONE', r = 'PAUSED'} end
  if firm_held and queue.iv ~= 1 then return {o = 'NONE', r = 'RESERVE_HELD'} end
  return won(id)
end

if A.task then return named(A.task) end

-- The cursor of an earlier walk: the last head taken per shelf, and queues that were left half-way.
local shelves, after, deferred, left_at = {}, {}, {}, {}

local function defer(qid, member)
  deferred[#deferred + 1] = qid
  left_at[qid] = member
end

for kind, member in string.gmatch(A.cursor or '', '(%a)(%S*)') do
  if kind == 'r' then skipped = true end
  if kind == 'h' then after[string.match(member, '^[^|]*|[^|]*')] = member end
  if kind == 'q' then defer(string.match(member, '^[^|]*'), member) end
end

local function cursor()
  local heads = {}
  for _, member in pairs(after) do heads[#heads + 1] = 'h' .. member end
  table.sort(heads)
  for _, qid in ipairs(deferred) do heads[#heads + 1] = 'q' .. left_at[qid] end
  if skipped then table.insert(heads, 1, 'r') end
  return table.concat(heads, ' ')
end

local function first_heads(low, high, n)
  return redis.call('ZRANGEBYLEX', K.heads, low, high, 'LIMIT', 0, n)
end

-- A shelf's candidate: the head after the one that was taken last, with its urgency at this moment.
local function look_at(shelf, member)
  shelf.member = member
  if not member then return end
  local family, origin, qid = string.match(member, '^[^|]*|([^|]*)|(%d+)|(.*)$')
  shelf.qid, shelf.origin = qid, tonumber(origin) - SHIFT
  shelf.urgency = urgency(family, qid, NOW - shelf.origin)
end

local function next_head(shelf)
  look_at(shelf, first_heads('(' .. after[shelf.name], '(' .. shelf.name .. '}', 1)[1])
end

-- Finds the shelves in a range of anchors by jumping from shelf to shelf, as long as there is a head behind.
local function find_shelves(range)
  local high = range[2]
  local found = first_heads(range[1], high, 2)
  while found[1] do
    local name, anchor = string.match(found[1], '^(([^|]*)|[^|]*)')
    local ours = #anchor == range[3]  -- a longer one is of a skill whose name begins like ours
    if ours then
      local shelf = {name = name}
      shelves[#shelves + 1] = shelf
      if after[name] then next_head(shelf) else look_at(shelf, found[1]) end
    end
    if not found[2] then return end
    found = first_heads('[' .. (ours and name or anchor) .. '}', high, 2)
  end
end

find_shelves(anchor_range('a:' .. agent_id))
for _, range in ipairs(talents.ranges) do find_shelves(range) end

local function better(one, other)
  if one.urgency ~= other.urgency then return one.urgency > other.urgency end
  if one.origin ~= other.origin then return one.origin < other.origin end
  return one.qid < other.qid
end

local function most_urgent()
  local best
  for _, shelf in ipairs(shelves) do
    if shelf.member and (not best or better(shelf, best)) then best = shelf end
  end
  return best
end

local function eligible(qid, queue)
  if not qualified(queue, agent_id, a, skills) or paused(qid, queue) then return false end
  if firm_held and queue.iv ~= 1 then
    skipped = true
    return false
  end
  return true
end

-- The first task after `member` that is not closed to the agent; nil and what was looked at last otherwise.
local function first_fit(qid, member)
  local from, looked = member, 0
  while looked < CHUNK do
    local n = looked == 0 and 1 or CHUNK - looked
    local members = redis.call('ZRANGEBYLEX', K.queue, '(' .. from, '(' .. qid .. '}', 'LIMIT', 0, n)
    for _, found in ipairs(members) do
      if looks >= LOOKS then
        more = true
        return nil, from
      end
      looks, looked, from = looks + 1, looked + 1, found
      local id = string.sub(found, #qid + 19)
      if not excluded(get_task(id), agent_id) then return id end
    end
    if #members < n then return nil end
  end
  return nil, from
end

local function walk_queue(qid, member)
  local id, from = first_fit(qid, member)
  if not id and from then defer(qid, from) end
  return id
end

local function walk_heads()
  local shelf = most_urgent()
  while shelf do
    if looks >= LOOKS then
      more = true
      return nil
    end
    looks = looks + 1
    after[shelf.name] = shelf.member
    local qid = shelf.qid
    if eligible(qid, queue_def(qid)) then
      local id = walk_queue(qid, qid .. '|')
      if id or more then return id end
    end
    next_head(shelf)
    shelf = most_urgent()
  end
end

local function walk_deferred()
  while deferred[1] do
    if looks >= LOOKS then
      more = true
      return nil
    end
    local qid = table.remove(deferred, 1)
    local queue = queue_def(qid)
    if queue and eligible(qid, queue) then
      local id = walk_queue(qid, left_at[qid])
      if id or more then return id end
    end
  end
end

local id = walk_heads()
if not id and not more then id = walk_deferred() end
if id then return won(id) end
if more then return {o = 'NONE', r = 'MORE', cursor = cursor()} end
return {o = 'NONE', r = skipped and 'RESERVE_HELD' or 'NO_TASK', qd = queued()}
