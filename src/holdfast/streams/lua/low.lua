-- SPDX-License-Identifier: Apache-2.0
-- low.lua: records the group's low-water mark and trims what no group needs any more.
-- KEYS  1 stream_key  2 low  3 door  4 dead  5 due
-- ARGV  1 group  2 'delete' to trim, 'keep' to leave the stream alone  3 server ms, from the sweep just before
-- returns {mark, trimmed, lag or -1, length, groups, {other group, ms since one of its consumers was seen, …}, trimmed below,
--          entries others removed before this group read them, since the last time,
--          ms the oldest pending entry has been idle, dead letters, ms age of the oldest, parked entries that are due}
-- A mark is the id just below the oldest entry a group still needs: below its oldest pending one, else what it has read.
local stream, group = KEYS[1], ARGV[1]
local facts = {}
local info = redis.pcall('XINFO', 'STREAM', stream)
if info.err then return redis.error_reply('NOGROUP the stream is gone') end
for i = 1, #info, 2 do facts[info[i]] = info[i + 1] end
-- How many entries were trimmed or deleted by others before this group read them, since the last time this was asked. What
-- came in has been delivered or still waits; what was delivered has been settled (settle.lua counts) or is pending. The
-- rest is gone. The server's own counter does not tell: it counts what it skips as read.
local before_now = redis.call('HMGET', KEYS[2], 'added', 'lag', 'pending', 'settled-then', 'settled', 'id')
local function never_read(g)
  if type(g.lag) ~= 'number' or not (before_now[1] and before_now[2] and before_now[3] and before_now[4]) then return 0 end
  local came = tonumber(facts['entries-added'] or 0) - tonumber(before_now[1])
  local settled = tonumber(before_now[5] or 0) - tonumber(before_now[4])
  return math.max(0, tonumber(before_now[2]) + came - settled - (g.pending - tonumber(before_now[3])) - g.lag)
end
local mark, lowest, lag, count, others, missed, pending = '', nil, -1, 0, {}, 0, 0
for _, row in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
  local g = {}
  for i = 1, #row, 2 do g[row[i]] = row[i + 1] end
  local own = g['last-delivered-id']
  if g.pending > 0 then own = before(redis.call('XPENDING', stream, g.name)[2]) end
  if not lowest or below(own, lowest) then lowest = own end
  count = count + 1
  if g.name == group then
    mark = own
    if type(g.lag) == 'number' then lag = g.lag end
    missed, pending = never_read(g), g.pending
  else
    local idle = -1
    for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', stream, g.name)) do
      for i = 1, #consumer, 2 do
        if consumer[i] == 'idle' and (idle < 0 or consumer[i + 1] < idle) then idle = consumer[i + 1] end
      end
    end
    others[#others + 1], others[#others + 2] = g.name, string.format('%.0f', idle)
  end
end
local trimmed, length = 0, facts.length
local added, settled = tostring(facts['entries-added'] or -1), before_now[5] or '0'
-- An idle group is asked for ever: what has not changed is not written, and where nothing lies nothing is looked for.
local same = mark == before_now[6] and added == before_now[1] and tostring(lag) == before_now[2]
  and tostring(pending) == before_now[3] and settled == before_now[4]
if length > 0 or not same then redis.call('DEL', KEYS[3]) end -- a first write that is allowed at maxmemory
if mark ~= '' and not same then
  redis.call('HSET', KEYS[2], 'id', mark, 'added', added, 'lag', lag, 'pending', pending, 'settled-then', settled)
  if lag < 0 then redis.call('HDEL', KEYS[2], 'lag') end
end
local edge = lowest and after(lowest) or ''
-- Dated but not parked: entries whose record was dropped by force (a deleted consumer). They are needed, and no group's mark
-- knows of them until they are restored.
local parked = 0
for _, row in ipairs(length > 0 and mark ~= '' and redis.call('XPENDING', stream, group)[4] or {}) do
  if row[1] == 'hf.parked' then parked = tonumber(row[2]) end
end
local whole = length > 0 and redis.call('ZCARD', KEYS[5]) <= parked
if ARGV[2] == 'delete' and lowest and whole then -- guard: nothing is trimmed that is only dated
  trimmed = redis.call('XTRIM', stream, 'MINID', '=', edge) -- guard: never past the lowest mark
end
local dead = redis.call('XLEN', KEYS[4])
local oldest = pending > 0 and redis.call('XPENDING', stream, group, '-', '+', 1)[1]
local first_dead = dead > 0 and redis.call('XRANGE', KEYS[4], '-', '+', 'COUNT', 1)[1]
return { mark, trimmed, lag, length - trimmed, count, others, edge, missed, oldest and oldest[3] or 0, dead,
  first_dead and math.max(0, tonumber(ARGV[3]) - tonumber((split(first_dead[1])))) or 0,
  pending > 0 and redis.call('ZCOUNT', KEYS[5], '-inf', ARGV[3]) or 0 }
