-- SPDX-License-Identifier: Apache-2.0
-- own.lua: looks at a partition's lease, and takes it when its owner is dead or gone.
-- KEYS  1 owner  2 leases  3 door
-- ARGV  1 incarnation that would own it ('' = look only)  2 lease in ms  3 server ms at the last look ('' = none)
--       4 ms since then by the client's own clock  5 slack in ms  6 '1' if another server answers than at the last look
-- returns {1 if taken, epoch, owner or '', owner's lease left in ms or '' when it has none, now in ms, ms jumped}
-- The owner's lease is its consumer's lease on this partition: it is kept alive by the same beat. The epoch only grows, and
-- every settle names it, so that of two who believe they own the partition one is refused.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local function text(n) return string.format('%.0f', n) end
local held = redis.call('HMGET', KEYS[1], 'consumer', 'epoch')
local owner, epoch = held[1] or '', tonumber(held[2] or 0)
local till = owner ~= '' and redis.call('ZSCORE', KEYS[2], owner)
local left = till and tonumber(till) - now
local jumped = 0
if ARGV[3] ~= '' then jumped = now - tonumber(ARGV[3]) - tonumber(ARGV[4]) end
if till and (ARGV[6] == '1' or math.abs(jumped) > tonumber(ARGV[5])) then
  redis.call('DEL', KEYS[3]) -- a first write that is allowed at maxmemory
  redis.call('ZADD', KEYS[2], text(now + ARGV[2]), owner)
  return { 0, text(epoch), owner, text(tonumber(ARGV[2])), text(now), text(jumped ~= 0 and jumped or 1) }
end
if ARGV[1] == '' or (till and left >= 0) then return { 0, text(epoch), owner, left and text(left) or '', text(now), '0' } end
redis.call('DEL', KEYS[3])
if owner ~= '' then redis.call('ZREM', KEYS[2], owner) end -- from here on it stays dead
epoch = epoch + 1
redis.call('HSET', KEYS[1], 'consumer', ARGV[1], 'epoch', text(epoch))
redis.call('ZADD', KEYS[2], text(now + ARGV[2]), ARGV[1])
return { 1, text(epoch), ARGV[1], ARGV[2], text(now), '0' }
