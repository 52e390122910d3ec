-- SPDX-License-Identifier: Apache-2.0
-- guard_claim.lua: makes an attempt the running one of its guarded key, if nobody else has the key.
-- KEYS  1 record
-- ARGV  1 owner  2 lease in ms  3 retention in ms
-- returns {'first', began in ms, 1 if taken over or 0} | {'repeated', result} | {'busy', ms left of the holder's lease}
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local function text(n) return string.format('%.0f', n) end
local row = redis.call('HMGET', KEYS[1], 'state', 'owner', 'until', 'began', 'result')
if row[1] == 'done' then return { 'repeated', row[5] or '' } end -- guard: what is done is not done again
local running = row[1] == 'running'
local taken = running and row[2] ~= ARGV[1]
local left = running and tonumber(row[3]) - now or 0
if taken and left > 0 then return { 'busy', text(left) } end -- guard: a live holder is left alone
local began = running and row[4] or text(now)
redis.call('HSET', KEYS[1], 'state', 'running', 'owner', ARGV[1], 'until', text(now + ARGV[2]), 'began', began)
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return { 'first', began, taken and 1 or 0 }
