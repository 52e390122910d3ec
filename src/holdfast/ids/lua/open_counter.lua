-- SPDX-License-Identifier: Apache-2.0
-- open_counter.lua: what a counter was raised to is safe by now: numbers up to there may be given.
-- KEYS  1 counter
-- ARGV  1 epoch in which it was raised  2 raised to
-- returns 1, or 0 when it is another counter meanwhile
local known = redis.call('HMGET', KEYS[1], 'epoch', 'raised', 'ceiling')
local to = tonumber(ARGV[2])
if known[1] ~= ARGV[1] or tonumber(known[2] or '0') < to then return 0 end -- guard: only what this record has raised
redis.call('HSET', KEYS[1], 'ceiling', string.format('%.0f', math.max(to, tonumber(known[3] or '0'))))
return 1
