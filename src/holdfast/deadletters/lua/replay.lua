-- SPDX-License-Identifier: Apache-2.0
-- replay.lua: sends a letter's message back to its group: onto its replay stream, off the dead letters, in one step.
-- KEYS  1 dead  2 letters  3 replay  4 door
-- ARGV  1 group  2 letter id  3 the letter's entry id  4… fields of the message, lineage included
-- returns its entry id in the replay stream, or '' when the letter is no longer there
-- The replay stream is read by this group alone: into the stream itself, a replay would reach every group.
if #redis.call('XRANGE', KEYS[1], ARGV[3], ARGV[3]) == 0 then return '' end -- guard: nothing is replayed twice
local there = false
if redis.call('EXISTS', KEYS[3]) == 1 then
  for _, info in ipairs(redis.call('XINFO', 'GROUPS', KEYS[3])) do
    for i = 1, #info, 2 do if info[i] == 'name' and info[i + 1] == ARGV[1] then there = true end end
  end
end
local fields = {}
for i = 4, #ARGV do fields[#fields + 1] = ARGV[i] end
redis.call('DEL', KEYS[4]) -- a first write that is allowed at maxmemory
if not there then redis.call('XGROUP', 'CREATE', KEYS[3], ARGV[1], '0', 'MKSTREAM') end
local entry = redis.call('XADD', KEYS[3], '*', unpack(fields))
redis.call('XDEL', KEYS[1], ARGV[3]) -- guard: in exactly one place
if redis.call('HGET', KEYS[2], ARGV[2]) == ARGV[3] then redis.call('HDEL', KEYS[2], ARGV[2]) end
return entry
