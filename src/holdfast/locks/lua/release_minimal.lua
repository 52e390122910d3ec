-- SPDX-License-Identifier: Apache-2.0
-- release_minimal.lua: removes the minimal lock if it is still its caller's.
-- KEYS  1 lock_minimal
-- ARGV  1 acquisition
-- returns 1 if it was removed; 0 if it was somebody else's, or gone
if redis.call('GET', KEYS[1]) == ARGV[1] then -- guard: owner
  return redis.call('DEL', KEYS[1])
end
return 0
