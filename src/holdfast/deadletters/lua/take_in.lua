-- SPDX-License-Identifier: Apache-2.0
-- take_in.lua: puts a letter that comes from elsewhere on its shelf, unless it has been there before.
-- KEYS  1 dead  2 letters  3 taken_in
-- ARGV  1 letter id  2 ms for which it is remembered that a letter was here; then the letter's fields
-- returns 1, or 0 when it has been taken in before, whatever has become of it since
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', string.format('(%.0f', now - ARGV[2]))
-- guard: what was taken in once does not come back
if redis.call('ZSCORE', KEYS[3], ARGV[1]) then return 0 end
if redis.call('HEXISTS', KEYS[2], ARGV[1]) == 1 then return 0 end
local entry = redis.call('XADD', KEYS[1], '*', unpack(ARGV, 3))
redis.call('HSET', KEYS[2], ARGV[1], entry)
redis.call('ZADD', KEYS[3], string.format('%.0f', now), ARGV[1])
return 1
