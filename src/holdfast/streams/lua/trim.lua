-- SPDX-License-Identifier: Apache-2.0
-- trim.lua: trims a stream by hand, up to an id or a length, and never what a group still needs unless told to.
-- KEYS  1 stream_key
-- ARGV  1 entries below this id may go ('' = no such bound)  2 entries kept at least ('' = no such bound)
--       3 '1' to go past what groups need  4 '1' to only look
-- returns {first id that stays, entries below it, group that holds back more or ''}
-- A group needs everything from its oldest pending entry on, and what it has not read.
local stream = KEYS[1]
local edge = ARGV[1]
if ARGV[2] ~= '' then
  local keep = tonumber(ARGV[2])
  local over = redis.call('XLEN', stream) - keep
  local found = over <= 0 and '0-0' or ''
  local from = '+'
  if found == '' and keep == 0 then
    found = after(redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1][1])
  end
  while found == '' do
    local rows = redis.call('XREVRANGE', stream, from, '-', 'COUNT', math.min(keep, 1000))
    keep = keep - #rows
    if keep == 0 then found = rows[#rows][1] end
    from = '(' .. rows[#rows][1]
  end
  if edge == '' or below(found, edge) then edge = found end
end

local holds = ''
for _, row in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
  local g = {}
  for i = 1, #row, 2 do g[row[i]] = row[i + 1] end
  local needs = after(g['last-delivered-id'])
  if g.pending > 0 then needs = redis.call('XPENDING', stream, g.name)[2] end
  if ARGV[3] ~= '1' and (edge == '' or below(needs, edge)) then -- guard: what a group needs
    edge, holds = needs, g.name
  end
end
if edge == '' or edge == '0-0' then return { '', 0, '' } end
if ARGV[4] ~= '1' then return { edge, redis.call('XTRIM', stream, 'MINID', '=', edge), holds } end
local count, from = 0, '-'
while true do
  local rows = redis.call('XRANGE', stream, from, '(' .. edge, 'COUNT', 1000)
  count = count + #rows
  if #rows < 1000 then break end
  from = '(' .. rows[#rows][1]
end
return { edge, count, holds }
