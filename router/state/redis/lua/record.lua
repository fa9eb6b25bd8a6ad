-- record: one more chunk of what a router process saw and decided; the oldest ones go.
-- KEYS: recording
-- ARGS: chunk, keep (ms), most = chunks to keep
-- RETURNS: OK with id = its place in the stream
-- Prevents: a recording that grows for ever, or one whose order is not that of its times.

local last = redis.call('XREVRANGE', K.recording, '+', '-', 'COUNT', 1)[1]
local before = last and tonumber(string.match(last[1], '^%d+')) or 0
local id = redis.call(
  'XADD', K.recording, 'MAXLEN', '=', A.most, whole(math.max(NOW, before)) .. '-*', 'e', A.chunk
)
redis.call('XTRIM', K.recording, 'MINID', '=', whole(math.max(0, NOW - A.keep)))
return {o = 'OK', id = id}
