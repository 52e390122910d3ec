-- SPDX-License-Identifier: Apache-2.0
-- force_unlock.lua: takes a lock from its holder, if it is still the one that was looked at.
-- KEYS  1 lock
-- ARGV  1 fencing token of the holder  2 channel of those who wait  3 PUBLISH or SPUBLISH
-- returns {1 if it was taken away, token that holds it now or ''}
local token = redis.call('HGET', KEYS[1], 'token')
if token ~= ARGV[1] then return { 0, token or '' } end -- guard: looked at
redis.call('DEL', KEYS[1])
redis.call(ARGV[3], ARGV[2], '')
return { 1, '' }
