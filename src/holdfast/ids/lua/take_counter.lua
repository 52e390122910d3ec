-- SPDX-License-Identifier: Apache-2.0
-- take_counter.lua: gives the next numbers of a counter, as far as its ceiling is safe.
-- KEYS  1 counter
-- ARGV  1 how many at most  2 largest number that whoever asks has seen  3 unit of dates ('' = none)
--       4 numbers that a date has  5 ms after which the key expires (0 = never)
-- returns {'taken', first, last, ceiling, epoch}, {'raise'} when it has to be raised before, or {'full', last}
-- Put behind counter.lua.
local known = redis.call('HMGET', KEYS[1], 'server', 'last', 'ceiling', 'epoch')
if known[1] ~= this_server() then return { 'raise' } end -- guard: another server goes on behind what was raised
local last, ceiling = count_of(known[2]), count_of(known[3])
if tonumber(ARGV[2]) > last then return { 'raise' } end -- guard: a number that was seen is not given again
local base, most = span(last, ARGV[3], tonumber(ARGV[4]))
local count = math.min(tonumber(ARGV[1]), most - base)
if count < 1 then return { 'full', text(last) } end -- guard: no number of a date that is full
if base + count > ceiling then return { 'raise' } end -- guard: never beyond a safe ceiling
redis.call('HSET', KEYS[1], 'last', text(base + count))
used(KEYS[1], ARGV[5])
return { 'taken', text(base + 1), text(base + count), text(ceiling), known[4] }
