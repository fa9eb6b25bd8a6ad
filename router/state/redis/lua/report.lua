-- report: what an ACD says of its agents; an open offer of an agent that a call reaches is rescinded, its
-- interruptible lease recalled, in the same step.
-- KEYS: @task feeds callqueues
-- ARGS: src, ep, sq, first (it stands for the numbers from first to sq), snap, last, notice (ms),
--       agents = [{id, st, rsn, lv, sm}], gone = [ids that the snapshot may lack],
--       more (true: a further slice of a call whose first one was applied), cq = {call queue id = figures}
-- RETURNS: OK with ro = outcome, sq = the feed's sequence, rows of the tasks touched, unk = agents without a profile
-- Prevents: old or repeated reports moving agents back (invariant 12), and an offer to an agent on a call (invariant 5).

local feed = unpacked(redis.call('HGET', K.feeds, A.src))
local touched, rows, groups, unknown = {}, {}, {}, {}
local LONGEST = 86400000 -- a state that began earlier counts from then

local function digits(text)
  local number = string.match(text, '^%d+$')
  return number and (string.gsub(number, '^0+', ''))
end

-- Whether an epoch of digits sorts before another; epochs may be too long for a Lua number.
local function before(one, other)
  local x, y = digits(one), digits(other)
  if not x or not y then return false end
  return #x < #y or #x == #y and x < y
end

local function standing()
  if not feed then return A.snap and 'APPLIED' or 'NEEDS_SNAPSHOT' end
  local epoch, sequence = feed.ep or '', feed.sq or 0
  if A.ep == epoch then
    local open = feed.op and A.sq == sequence
    return (A.first > sequence or open) and 'APPLIED' or 'DUPLICATE'
  end
  if before(A.ep, epoch) then return 'STALE' end
  return A.snap and 'APPLIED' or 'NEEDS_SNAPSHOT'
end

local function is_ours(a)
  if not a.src or a.src == A.src then return true end
  if A.snap and a.st == 'OFFLINE' then return true end
  local other = unpacked(redis.call('HGET', K.feeds, a.src))
  return not other or NOW - (other.at or 0) > 60000
end

local function reason_for(state)
  if ON_PHONE[state] then return 'CALL_ARRIVED' end
  return state == 'OFFLINE' and 'AGENT_OFFLINE' or 'NOT_AVAILABLE'
end

local function interrupt(a)
  local state, actor = a.st, 'acd:' .. A.src
  local unavailable = a.gr and state ~= 'AVAILABLE' and state ~= 'RESERVED' or ON_PHONE[state]
  local called = ON_PHONE[state] or a.gr and state == 'OFFLINE'
  for id in string.gmatch(a.on or '', '%S+') do
    local t = get_task(id)
    if t.s == 'OFFERED' and unavailable then
      rescind_offer(id, t, actor, reason_for(state))
      touched[#touched + 1] = id
    elseif t.s == 'ACTIVE' and t.iv and called then
      recall_lease(id, t, A.notice, actor, reason_for(state))
      touched[#touched + 1] = id
    end
  end
end

local function enter(id, a, state, since)
  since = since > 0 and math.max(NOW - LONGEST, math.min(NOW, since)) or NOW
  if a.st == 'OFFLINE' then
    a.li, a.bz = NOW, nil
  end
  a.st, a.sm = state, since
  if state == 'AVAILABLE' and not a.on then a.is = since end
  if a.gr then groups[a.gr] = true end
  tell_worker(id, a, {k = 'agent', a = a})
  interrupt(a)
  -- Taken out of the call distribution for a task that has gone meanwhile: put back at once.
  if state == 'RESERVED' and not a.on then release_agent(id, a, nil, {}) end
  if state == 'OFFLINE' and standing_command(id) then U.command[id] = false end
end

local function apply(id, state, reason, leave, mark, since)
  local a = get_agent(id)
  changed_agent(id)
  local kept = a.src == A.src and a.sn or nil  -- a mark of another source's snapshot means nothing here
  a.src, a.rsn, a.lv, a.sn = A.src, reason, leave, mark or kept
  clean(a)
  if a.st ~= state then enter(id, a, state, since or 0) end
end

local outcome = standing()
if A.more then outcome = feed and feed.ep == A.ep and feed.sq == A.sq and 'APPLIED' or 'STALE' end
if outcome ~= 'APPLIED' then return {o = 'OK', ro = outcome, sq = feed and feed.sq or 0, rows = rows} end

local mark = A.snap and A.ep .. ':' .. whole(A.sq) or nil
redis.call('HSET', K.feeds, A.src, cmsgpack.pack(clean({ep = A.ep, sq = A.sq, at = NOW, op = not A.last and 1 or nil})))
for _, row in ipairs(A.agents) do
  local a = get_agent(row.id)
  if not a then
    unknown[#unknown + 1] = row.id
  elseif is_ours(a) then
    apply(row.id, row.st, row.rsn, row.lv, mark, row.sm)
  end
end
for _, id in ipairs(A.gone) do
  local a = get_agent(id)
  if a and a.src == A.src and a.sn ~= mark and a.st ~= 'OFFLINE' then apply(id, 'OFFLINE', '', 0) end
end
if A.snap and A.last then
  local known = redis.call('HGETALL', K.callqueues)
  for i = 1, #known, 2 do
    local ours = cmsgpack.unpack(known[i + 1]).src == A.src
    if ours and not A.cq[known[i]] then redis.call('HDEL', K.callqueues, known[i]) end
  end
end
for id, body in pairs(A.cq) do
  redis.call('HSET', K.callqueues, id, cmsgpack.pack(clean({src = A.src, at = NOW, b = body})))
end

local names = {}
for name in pairs(groups) do names[#names + 1] = name end
table.sort(names)
if #names == 0 and next(A.cq) then names[1] = '' end
for i, name in ipairs(names) do U.report[i] = {k = 'report', gr = name, src = A.src} end
commit()
for i, id in ipairs(touched) do rows[i] = told(id) end
return {o = 'OK', ro = outcome, sq = A.sq, rows = rows, unk = unknown}
