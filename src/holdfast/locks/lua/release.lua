-- SPDX-License-Identifier: Apache-2.0
-- release.lua: gives locks back and tells those who wait; only the acquisition that holds them can.
-- KEYS  1 lock_released  2 lock. More locks follow
-- ARGV  1 acquisition  2 ms for which the answer is remembered  3 PUBLISH or SPUBLISH  4 channel of those who wait for
--       the first lock. More channels follow
-- returns 1 if this acquisition gave all of them back, now or when it asked before; 0 if it did not hold one any more
local ours = 0
for n = 2, #KEYS do
  if redis.call('HGET', KEYS[n], 'acquisition') == ARGV[1] then -- guard: owner
    redis.call('DEL', KEYS[n])
    redis.call(ARGV[3], ARGV[n + 2], '')
    ours = ours + 1
  end
end
if ours == #KEYS - 1 then
  redis.call('SET', KEYS[1], '1', 'PX', ARGV[2])
  return 1
end
return redis.call('EXISTS', KEYS[1]) -- guard: asked again
