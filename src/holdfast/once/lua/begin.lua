-- SPDX-License-Identifier: Apache-2.0
-- begin.lua: marks an effect that happens outside as begun, unless it is done, or somebody alive is at it.
-- KEYS  1 begun  2 done  3 leases  4 door
-- ARGV  1 identity  2 incarnation of the caller  3 'retry' or 'hold' what a dead consumer began
-- returns {'done'} | {'first'} | {'mine', ms since it was begun} | {'busy', incarnation, ms}
--         | {'taken', incarnation, ms} | {'doubt', incarnation, ms}
-- The mark has no expiry of its own: it is worth what the lease of its incarnation is worth. In the place of an incarnation
-- stands '?' where it is in doubt although nobody died, and '-' where whoever comes next may try.
if redis.call('ZSCORE', KEYS[2], ARGV[1]) then return { 'done' } end
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local found = redis.call('HGET', KEYS[1], ARGV[1])
local who, since = ARGV[2], string.format('%.0f', now)
if found then
  who, since = string.match(found, '^(%S+) (%d+)$')
  local ms = math.max(0, now - tonumber(since))
  if who == ARGV[2] then return { 'mine', ms } end
  if who ~= '-' and redis.call('ZSCORE', KEYS[3], who) then return { 'busy', who, ms } end -- guard: alive
  if ARGV[3] == 'hold' and who ~= '-' then return { 'doubt', who, ms } end -- guard: in doubt
end
redis.call('DEL', KEYS[4]) -- a first write that is allowed at maxmemory
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ' ' .. since)
if not found then return { 'first' } end
return { 'taken', who, math.max(0, now - tonumber(since)) }
