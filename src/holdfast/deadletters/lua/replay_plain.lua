-- SPDX-License-Identifier: Apache-2.0
-- replay_plain.lua: sends letters back as replay.lua does, and makes what goes out of what lies there. Only plain ones:
-- names of the specification, each once, values that need no cutting, a message that begins with its id, its first
-- death, and no doubt that its effect is not there. For any other the caller goes the long way.
-- KEYS  1 dead  2 letters  3 replay  4 door  5 done-records
-- ARGV  1 group  2 prefix  3 ms for which done-records are kept; -1: that does not matter  4 '1': leave all that follow the first that is not plain
--       5 JSON: by name of the specification, bytes that its value may have; below 0 where it stays behind; 0 where a
--       letter that has it is not plain  6 number of the following fields and values, which go out with each letter
--       7… these; then entry ids of letters
-- returns of each letter its entry id in the replay stream, '' when it is no longer there, '-' when it is not plain
local prefix, kept_ms, stops, caps = ARGV[2], tonumber(ARGV[3]), ARGV[4] == '1', cjson.decode(ARGV[5])
local told, time = tonumber(ARGV[6]), redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local SPEC, ID, FROM = prefix .. 'spec-version', prefix .. 'letter-id', prefix .. 'replayed-from'
local APPLIED, LINKS = prefix .. 'applied', prefix .. 'trace-links'

local function short(value, most) return value and #value > 0 and #value <= most and not value:find('[\128-\255]') end

-- What goes out for a letter's fields, its id, and its message's identity; nil when it is not plain.
local function plain(fields)
  local out, lineage, seen = {}, {}, {}
  if #fields > 2000 then return nil end -- all go into one call
  for i = 1, #fields, 2 do
    local name, value = fields[i], fields[i + 1]
    local cap = caps[name]
    if seen[name] then return nil end
    seen[name] = value
    if not cap then
      if name:sub(1, #prefix) == prefix then return nil end
      out[#out + 1] = name
      out[#out + 1] = value
    elseif cap == 0 or (cap > 0 and value ~= '' and not short(value, cap)) then
      return nil
    elseif cap > 0 and value ~= '' and name ~= SPEC then
      lineage[#lineage + 1] = name
      lineage[#lineage + 1] = value
    end
  end
  if seen[SPEC] ~= '1' or not short(seen[ID], 26) or out[1] ~= 'id' or not short(out[2], 512) then return nil end
  if seen[LINKS] and seen[LINKS] ~= '' then return nil end
  out[#out + 1] = SPEC
  out[#out + 1] = '1'
  for i = 1, #lineage do out[#out + 1] = lineage[i] end
  out[#out + 1] = FROM
  out[#out + 1] = seen[ID]
  for i = 7, 6 + told do out[#out + 1] = ARGV[i] end
  return out, seen[ID], seen[APPLIED]
end

local there, begun = false, false
if redis.call('EXISTS', KEYS[3]) == 1 then
  for _, info in ipairs(redis.call('XINFO', 'GROUPS', KEYS[3])) do
    for i = 1, #info, 2 do if info[i] == 'name' and info[i + 1] == ARGV[1] then there = true end end
  end
end
local entries, left = {}, false
for at = 7 + told, #ARGV do
  local letter, entry = ARGV[at], '-'
  local rows = left and {} or redis.call('XRANGE', KEYS[1], letter, letter)
  if not left and #rows == 0 then -- guard: nothing is replayed twice
    entry = ''
  elseif not left then
    local out, id, applied = plain(rows[1][2])
    local known = out and (applied == 'no' or kept_ms < 0 or now_ms - tonumber(letter:match('^%d+')) <= kept_ms)
    if known and not redis.call('ZSCORE', KEYS[5], out[2]) then -- guard: what was applied is not sent again
      if not begun then redis.call('DEL', KEYS[4]) end -- a first write that is allowed at maxmemory
      if not there then redis.call('XGROUP', 'CREATE', KEYS[3], ARGV[1], '0', 'MKSTREAM') end
      there, begun = true, true
      entry = redis.call('XADD', KEYS[3], '*', unpack(out))
      redis.call('XDEL', KEYS[1], letter) -- guard: in exactly one place
      if redis.call('HGET', KEYS[2], id) == letter then redis.call('HDEL', KEYS[2], id) end
    else
      left = stops -- guard: none of a key goes before the one that was left
    end
  end
  entries[#entries + 1] = entry
end
return entries
