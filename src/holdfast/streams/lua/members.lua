-- SPDX-License-Identifier: Apache-2.0
-- members.lua: says that a process takes part in sharing a stream's partitions, and who else does.
-- KEYS  1 members  2 door
-- ARGV  1 member  2 ms for which this holds (0 = it leaves)
-- returns {live members in order}
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
redis.call('DEL', KEYS[2]) -- a first write that is allowed at maxmemory
if ARGV[2] == '0' then
  redis.call('ZREM', KEYS[1], ARGV[1])
else
  redis.call('ZADD', KEYS[1], string.format('%.0f', now + ARGV[2]), ARGV[1])
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. string.format('%.0f', now))
local live = redis.call('ZRANGE', KEYS[1], 0, -1)
table.sort(live)
return live
