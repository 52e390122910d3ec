-- SPDX-License-Identifier: Apache-2.0
-- latch.lua: counts a latch down, or looks at it, and tells those who wait when it is at zero.
-- KEYS  1 latch  2 lock_released
-- ARGV  1 count it begins with  2 by how many it is counted down, 0: only looked at  3 ms for which it is kept after the last
--       look  4 ms for which the answer is remembered  5 channel of those who wait  6 PUBLISH or SPUBLISH
-- returns what is left to count
local left = tonumber(redis.call('GET', KEYS[1]) or ARGV[1])
if redis.call('EXISTS', KEYS[2]) == 0 then -- guard: asked again
  if ARGV[2] ~= '0' then redis.call('SET', KEYS[2], '1', 'PX', ARGV[4]) end
  if left > 0 and left <= tonumber(ARGV[2]) then redis.call(ARGV[6], ARGV[5], '') end
  left = math.max(left - tonumber(ARGV[2]), 0)
end
redis.call('SET', KEYS[1], left, 'PX', ARGV[3])
return left
