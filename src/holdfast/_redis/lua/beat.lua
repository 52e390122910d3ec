-- SPDX-License-Identifier: Apache-2.0
-- beat.lua: extends the lease of an incarnation that still has one; a lost lease stays lost.
-- KEYS  1 leases  2 door
-- ARGV  1 incarnation  2 lease in ms left since the event loop last turned  3 full lease in ms
--       4 ms since this incarnation's last confirmed beat, by its own clock  5 '1' if the set is one of many and expires
-- returns {alive 1 or 0, now in ms, ms by which the server's clock jumped or 0}
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local text = string.format('%.0f', now)
local till = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not till then return { 0, text, 0 } end -- guard: never revive
local function write(score, member)
  local done = redis.pcall('ZADD', KEYS[1], string.format('%.0f', score), member)
  if type(done) == 'table' and done.err then -- at maxmemory: a DEL is allowed, and what follows it too
    redis.call('DEL', KEYS[2])
    redis.call('ZADD', KEYS[1], string.format('%.0f', score), member)
  end
end
local jumped = 0
if tonumber(till) < now then
  -- Less time than a lease has passed for us, and yet the server says it is over: its clock jumped. Everybody's lease
  -- suffered alike, so everybody gets a full one. A process that was really away has counted the time itself.
  if tonumber(ARGV[4]) >= tonumber(ARGV[3]) then return { 0, text, 0 } end -- guard: expired is dead
  jumped = now - tonumber(till)
  for _, member in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do write(now + ARGV[3], member) end
end
write(now + ARGV[2], ARGV[1])
if ARGV[5] == '1' then redis.call('PEXPIRE', KEYS[1], ARGV[3] * 360) end -- see claim_lease.lua
return { 1, text, string.format('%.0f', jumped) }
