-- SPDX-License-Identifier: Apache-2.0
-- raise_token.lua: makes the token of a holder, and the last one given, at least what another server of a quorum gave.
-- KEYS  1 lock  2 lock_token
-- ARGV  1 acquisition  2 token
-- returns 1 if this acquisition holds the lock here, and the next one is given a larger token than this; else 0
if redis.call('HGET', KEYS[1], 'acquisition') ~= ARGV[1] then return 0 end -- guard: owner
redis.call('HSET', KEYS[1], 'token', ARGV[2])
if tonumber(redis.call('GET', KEYS[2]) or '0') < tonumber(ARGV[2]) then -- guard: tokens only grow
  redis.call('SET', KEYS[2], ARGV[2])
end
return 1
