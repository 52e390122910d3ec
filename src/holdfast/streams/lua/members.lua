-- SPDX-License-Identifier: Apache-2.0
-- members.lua: says that a process takes part in sharing a stream's partitions, and who else does.
-- KEYS  1 members  2 door
-- ARGV  1 member  2 ms for which this holds (0 = it leaves)  3 server ms at the last look ('' = none)
--       4 ms since then by the client's own clock  5 slack in ms  6 '1' if another server answers than at the last look
-- returns {now in ms, ms jumped, live member, …} in order of their names
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local function text(n) return string.format('%.0f', n) end
local jumped = 0
if ARGV[3] ~= '' then jumped = now - tonumber(ARGV[3]) - tonumber(ARGV[4]) end
redis.call('DEL', KEYS[2]) -- a first write that is allowed at maxmemory
if ARGV[2] == '0' then
  redis.call('ZREM', KEYS[1], ARGV[1])
elseif ARGV[6] == '1' or math.abs(jumped) > tonumber(ARGV[5]) then -- guard: a step back keeps no dead member
  redis.call('ZADD', KEYS[1], 0, ARGV[1])
  for _, member in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
    redis.call('ZADD', KEYS[1], text(now + ARGV[2]), member)
  end
  jumped = jumped ~= 0 and jumped or 1
else
  redis.call('ZADD', KEYS[1], text(now + ARGV[2]), ARGV[1])
  jumped = 0
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. text(now))
local live = redis.call('ZRANGE', KEYS[1], 0, -1)
table.sort(live)
return { text(now), text(jumped), unpack(live) }
