-- SPDX-License-Identifier: Apache-2.0
-- publish_once.lua: writes a message unless the same id was written within the window.
-- KEYS  1 stream_key  2 sent
-- ARGV  1 window in ms  2… fields
-- returns {entry id, 1 if written now or 0}
local there = redis.call('GET', KEYS[2])
if there then return { there, 0 } end
local fields = {}
for i = 2, #ARGV do fields[#fields + 1] = ARGV[i] end
-- The entry first, then the mark: a refusal in between leaves a message without mark, never a mark without message.
local entry = redis.call('XADD', KEYS[1], '*', unpack(fields))
redis.call('SET', KEYS[2], entry, 'PX', ARGV[1])
return { entry, 1 }
