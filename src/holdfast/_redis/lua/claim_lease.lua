-- SPDX-License-Identifier: Apache-2.0
-- claim_lease.lua: gives a named lease to a member if nobody holds it, and its epoch, which only grows.
-- KEYS  1 lease  2 lease_epoch  3 door
-- ARGV  1 member  2 lease in ms  3 server ms at the last look ('' = none)  4 ms since then by the client's own clock
--       5 slack in ms  6 '1' if another server answers than at the last look  7 '1' from a newcomer: an expired lease is
--       left alone, because a clock that has just jumped looks the same  8 '1' if the lease is one of many that come and
--       go: what a dead holder leaves is forgotten, and the epoch follows the server's clock in µs, so that it grows
--       although a failover lost the last one
-- returns {1 if granted, epoch, holder or '', now in ms, ms jumped or 0}
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local function text(n) return string.format('%.0f', n) end
local rows = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
local holder, till = rows[1] or '', tonumber(rows[2] or 0)
local epoch = redis.call('GET', KEYS[2]) or '0'
local jumped = 0
if ARGV[3] ~= '' then jumped = now - tonumber(ARGV[3]) - tonumber(ARGV[4]) end
if ARGV[6] == '1' then jumped = jumped ~= 0 and jumped or 1 elseif math.abs(jumped) <= tonumber(ARGV[5]) then jumped = 0 end
if holder == ARGV[1] and till >= now then return { 1, epoch, holder, text(now), text(jumped) } end -- asked again: the same grant
if holder ~= '' and jumped ~= 0 then
  redis.call('DEL', KEYS[3]) -- a first write that is allowed at maxmemory
  redis.call('ZADD', KEYS[1], text(now + ARGV[2]), holder)
  return { 0, epoch, holder, text(now), text(jumped) }
end
if holder ~= '' and (till >= now or ARGV[7] == '1') then return { 0, epoch, holder, text(now), text(jumped) } end -- guard: held
redis.call('DEL', KEYS[3])
redis.call('DEL', KEYS[1])
redis.call('ZADD', KEYS[1], text(now + ARGV[2]), ARGV[1])
if ARGV[8] == '0' then return { 1, text(redis.call('INCR', KEYS[2])), ARGV[1], text(now), text(jumped) } end
redis.call('PEXPIRE', KEYS[1], ARGV[2] * 360) -- guard: forgotten. An hour at the default lease; beat.lua puts it off
local grown = text(math.max(tonumber(epoch) + 1, clock[1] * 1000000 + clock[2])) -- guard: a later grant has a larger epoch
redis.call('SET', KEYS[2], grown)
return { 1, grown, ARGV[1], text(now), text(jumped) }
