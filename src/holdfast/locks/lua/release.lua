-- SPDX-License-Identifier: Apache-2.0
-- release.lua: gives a lock back and tells those who wait; only the acquisition that holds it can.
-- KEYS  1 lock  2 lock_released
-- ARGV  1 acquisition  2 ms for which the answer is remembered  3 channel of those who wait  4 PUBLISH or SPUBLISH
-- returns 1 if this acquisition gave it back, now or when it asked before; 0 if it did not hold it any more
if redis.call('HGET', KEYS[1], 'acquisition') == ARGV[1] then -- guard: owner
  redis.call('DEL', KEYS[1])
  redis.call('SET', KEYS[2], '1', 'PX', ARGV[2])
  redis.call(ARGV[4], ARGV[3], '')
  return 1
end
return redis.call('EXISTS', KEYS[2]) -- guard: asked again
