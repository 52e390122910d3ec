-- SPDX-License-Identifier: Apache-2.0
-- guard_renew.lua: extends the lease of the attempt that has the key.
-- KEYS  1 record
-- ARGV  1 owner  2 lease in ms  3 retention in ms
-- returns 1, or 0 when the mark is gone, done or another's
local row = redis.call('HMGET', KEYS[1], 'state', 'owner')
if row[1] ~= 'running' or row[2] ~= ARGV[1] then return 0 end -- guard: only the owner renews
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
redis.call('PEXPIRE', KEYS[1], ARGV[3]) -- first, because it is allowed at maxmemory, and what follows it too
redis.call('HSET', KEYS[1], 'until', string.format('%.0f', now + ARGV[2]))
return 1
