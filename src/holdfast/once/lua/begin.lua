-- SPDX-License-Identifier: Apache-2.0
-- begin.lua: marks an effect that happens outside as begun, unless it is done, or somebody alive is at it.
-- KEYS  1 begun  2 done  3 leases  4 door
-- ARGV  1 identity  2 incarnation of the caller  3 'retry' or 'hold' what a dead consumer began
-- returns {'done'} | {'first'} | {'again', ms since it was begun} | {'busy', incarnation, ms} | {'taken', incarnation, ms}
--         | {'doubt', incarnation, ms, 1 if nobody was told so before}
-- The mark has no expiry of its own: it is worth what the lease of its incarnation is worth. Before an incarnation stands
-- '?' once it is in doubt for a person to resolve, and '-' in its place where whoever comes next may try.
if redis.call('ZSCORE', KEYS[2], ARGV[1]) then return { 'done' } end
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local found = redis.call('HGET', KEYS[1], ARGV[1])
local told, who, since = '', '', string.format('%.0f', now)
local function mark(as)
  redis.call('DEL', KEYS[4]) -- a first write that is allowed at maxmemory
  redis.call('HSET', KEYS[1], ARGV[1], as .. ' ' .. since)
end
if not found then
  mark(ARGV[2])
  return { 'first' }
end
told, who, since = string.match(found, '^(%??)(%S+) (%d+)$')
local ms = math.max(0, now - tonumber(since))
local mine = told == '' and who == ARGV[2]
if not mine and told == '' and redis.call('ZSCORE', KEYS[3], who) then return { 'busy', who, ms } end -- guard: alive
if ARGV[3] == 'hold' and who ~= '-' then -- guard: in doubt
  if told == '' then mark('?' .. who) end
  return { 'doubt', who, ms, told == '' and 1 or 0 }
end
mark(ARGV[2])
return (mine or who == '-') and { 'again', ms } or { 'taken', who, ms }
