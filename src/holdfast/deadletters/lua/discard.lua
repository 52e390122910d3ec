-- SPDX-License-Identifier: Apache-2.0
-- discard.lua: removes a letter and its place in the index.
-- KEYS  1 dead  2 letters
-- ARGV  1 letter id  2 the letter's entry id
-- returns 1, or 0 when the letter is no longer there
local removed = redis.call('XDEL', KEYS[1], ARGV[2])
if redis.call('HGET', KEYS[2], ARGV[1]) == ARGV[2] then redis.call('HDEL', KEYS[2], ARGV[1]) end
return removed
