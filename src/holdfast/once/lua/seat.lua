-- SPDX-License-Identifier: Apache-2.0
-- seat.lua: gives an incarnation its lease where no consumer reads a stream, and takes those of the dead away.
-- KEYS  1 leases  2 door
-- ARGV  1 incarnation  2 lease in ms, and behind them pairs: an incarnation taken for dead, and the end of its lease as it
--       was seen all the while
-- returns how many were taken away
-- Whoever has beaten since is not dead: the end of its lease is another one by now.
redis.call('DEL', KEYS[2]) -- a first write that is allowed at maxmemory
local gone = 0
for n = 3, #ARGV, 2 do
  local till = redis.call('ZSCORE', KEYS[1], ARGV[n])
  if till == ARGV[n + 1] then gone = gone + redis.call('ZREM', KEYS[1], ARGV[n]) end -- guard: silent still
end
if ARGV[1] ~= '' then
  local clock = redis.call('TIME')
  redis.call('ZADD', KEYS[1], string.format('%.0f', clock[1] * 1000 + math.floor(clock[2] / 1000) + ARGV[2]), ARGV[1])
end
return gone
