-- SPDX-License-Identifier: Apache-2.0
-- low.lua: records the group's low-water mark and trims what no group needs any more.
-- KEYS  1 stream_key  2 low  3 door  4 dead  5 due
-- ARGV  1 group  2 'delete' to trim, 'keep' to leave the stream alone  3 entries trimmed at most
-- returns {mark, trimmed, lag or -1, length, groups, {other group, ms since one of its consumers was seen, …}, trimmed below,
--          entries trimmed by others before this group read them (at least so many),
--          ms the oldest pending entry has been idle, dead letters, ms age of the oldest, parked entries that are due}
-- A mark is the id just below the oldest entry a group still needs: below its oldest pending one, else what it has read.
local stream, group = KEYS[1], ARGV[1]
local MAX_SEQ = '18446744073709551615'
local function split(id)
  local a, b = string.match(id, '^(%d+)%-(%d+)$')
  return a, b
end
local function below(a, b) -- numeric pairs: as text -100 sorts before -99
  local a1, a2 = split(a)
  local b1, b2 = split(b)
  if #a1 ~= #b1 then return #a1 < #b1 end
  if a1 ~= b1 then return a1 < b1 end
  if #a2 ~= #b2 then return #a2 < #b2 end
  return a2 < b2
end
local function before(id)
  local a, b = split(id)
  if b ~= '0' then return a .. '-' .. string.format('%.0f', tonumber(b) - 1) end
  return string.format('%.0f', tonumber(a) - 1) .. '-' .. MAX_SEQ
end
local function after(id)
  local a, b = split(id)
  if b == MAX_SEQ then return string.format('%.0f', tonumber(a) + 1) .. '-0' end
  return a .. '-' .. string.format('%.0f', tonumber(b) + 1)
end
if redis.call('EXISTS', stream) == 0 then return redis.error_reply('NOGROUP the stream is gone') end
local facts = {}
local info = redis.call('XINFO', 'STREAM', stream)
for i = 1, #info, 2 do facts[info[i]] = info[i + 1] end
-- How many this group will never read: added, less what it was given, less what is still there for it. Exact while only
-- what is settled is deleted; at least 1 once a deletion lies beyond what it was given.
local function unread(g)
  local added, read = facts['entries-added'], g['entries-read']
  if type(added) ~= 'number' or type(read) ~= 'number' then return 1 end
  return math.max(1, added - read - (facts['length'] - g.pending))
end
local mark, lowest, lag, count, others, missed = '', nil, -1, 0, {}, 0
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
    -- Deleted beyond what was delivered, and not all of it by us: somebody trimmed what this group had not read.
    local gone = facts['max-deleted-entry-id']
    if gone and below(g['last-delivered-id'], gone) then missed = unread(g) end
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
local trimmed = 0
redis.call('DEL', KEYS[3]) -- a first write that is allowed at maxmemory
if mark ~= '' then
  redis.call('HSET', KEYS[2], 'id', mark, 'added', facts['entries-added'] or -1)
end
local edge = lowest and after(lowest) or ''
if ARGV[2] == 'delete' and lowest then
  trimmed = redis.call('XTRIM', stream, 'MINID', '=', edge) -- guard: never past the lowest mark
end
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local oldest = redis.call('XPENDING', stream, group, '-', '+', 1)[1]
local first_dead = redis.call('XRANGE', KEYS[4], '-', '+', 'COUNT', 1)[1]
return { mark, trimmed, lag, redis.call('XLEN', stream), count, others, edge, missed, oldest and oldest[3] or 0,
  redis.call('XLEN', KEYS[4]), first_dead and now - tonumber((split(first_dead[1]))) or 0,
  redis.call('ZCOUNT', KEYS[5], '-inf', string.format('%.0f', now)) }
