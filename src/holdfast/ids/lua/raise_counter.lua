-- SPDX-License-Identifier: Apache-2.0
-- raise_counter.lua: writes how far a counter is to be safe, and where it goes on if it was lost or is another server's.
-- KEYS  1 counter
-- ARGV  1 how many are wanted  2 largest number that whoever asks has seen  3 unit of dates ('' = none)
--       4 numbers that a date has  5 ms after which the key expires (0 = never)  6 reserve
--       7 floor ('' = nobody asked for it yet)  8 reserves left out for another server  9 epoch of one that is begun
--       10 part  11 parts
-- returns {'raised', up to, epoch, left out, why}, {'floor'} when that has to be asked, or {'others', part, parts}
-- Put behind counter.lua. It writes in any case: WAIT behind it speaks of what this connection has written.
local known = redis.call('HMGET', KEYS[1], 'server', 'last', 'ceiling', 'raised', 'epoch', 'part', 'parts')
if known[6] and (known[6] ~= ARGV[10] or known[7] ~= ARGV[11]) then -- guard: who shares a tag agrees on the steps
  return { 'others', known[6], known[7] }
end
local here, epoch, reserve = this_server(), known[5], tonumber(ARGV[6])
local last, ceiling, raised = count_of(known[2]), count_of(known[3]), count_of(known[4])
local floor = tonumber(ARGV[7] ~= '' and ARGV[7] or '0')
local seen = math.max(tonumber(ARGV[2]), floor)

local start, why = last, ''
if not known[1] then
  start, why = seen, 'new'
elseif known[1] ~= here then -- behind what was raised; within its date, where there are dates
  local most = 9007199254740991
  if ARGV[3] ~= '' then most = (math.floor(raised / tonumber(ARGV[4])) + 1) * tonumber(ARGV[4]) - 1 end
  start, why = math.max(math.min(raised + tonumber(ARGV[8]) * reserve, most), seen), 'server'
elseif tonumber(ARGV[2]) > last or floor > raised then
  start, why = math.max(raised, seen), 'behind' -- guard: what a floor has was given
end
if why ~= '' then
  if ARGV[7] == '' then return { 'floor' } end -- guard: a record that is gone asks the floor
  ceiling, raised, epoch = start, math.max(start, raised), ARGV[9]
end
local base, most = span(start, ARGV[3], tonumber(ARGV[4]))
raised = math.max(raised, math.min(base + math.max(reserve, 2 * tonumber(ARGV[1])), most))
redis.call('HSET', KEYS[1], 'server', here, 'last', text(start), 'ceiling', text(ceiling), 'raised', text(raised),
  'epoch', epoch, 'part', ARGV[10], 'parts', ARGV[11])
used(KEYS[1], ARGV[5])
return { 'raised', text(raised), epoch, text(start - last), why }
