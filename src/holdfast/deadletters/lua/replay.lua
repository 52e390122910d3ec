-- SPDX-License-Identifier: Apache-2.0
-- replay.lua: sends letters' messages back to their group: onto its replay stream, off the dead letters, in one step.
-- KEYS  1 dead  2 letters  3 replay  4 door
-- ARGV  1 group  2… of each letter: its id, its entry id, how many fields and values follow, and these: those of the
--       message, lineage included
-- returns of each letter its entry id in the replay stream, or '' when it is no longer there
-- The replay stream is read by this group alone: into the stream itself, a replay would reach every group.
local there, begun = false, false
if redis.call('EXISTS', KEYS[3]) == 1 then
  for _, info in ipairs(redis.call('XINFO', 'GROUPS', KEYS[3])) do
    for i = 1, #info, 2 do if info[i] == 'name' and info[i + 1] == ARGV[1] then there = true end end
  end
end
local entries, at = {}, 2
while at < #ARGV do
  local id, letter, count, entry = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2]), ''
  if #redis.call('XRANGE', KEYS[1], letter, letter) > 0 then -- guard: nothing is replayed twice
    if not begun then redis.call('DEL', KEYS[4]) end -- a first write that is allowed at maxmemory
    if not there then redis.call('XGROUP', 'CREATE', KEYS[3], ARGV[1], '0', 'MKSTREAM') end
    there, begun = true, true
    entry = redis.call('XADD', KEYS[3], '*', unpack(ARGV, at + 3, at + 2 + count))
    redis.call('XDEL', KEYS[1], letter) -- guard: in exactly one place
    if redis.call('HGET', KEYS[2], id) == letter then redis.call('HDEL', KEYS[2], id) end
  end
  entries[#entries + 1] = entry
  at = at + 3 + count
end
return entries
