-- SPDX-License-Identifier: Apache-2.0
-- apply.lua: applies one effect in the slot of its keys, where that is not the slot of the stream.
-- KEYS  1 done  2 half_done  3 results  4 begun  5 door, and behind them each key that the effect reads or writes
-- ARGV  1 identity  2 number of records that are pruned on the way, at most  3 ms after which a record may go
--       4 MessagePack of the fields of the effect: see effect.lua, which stands before this script
-- returns '' (it is in now), 'in' (it was in before), 'changed', or 'writes in|of so many|error'
redis.call('DEL', KEYS[5]) -- a first write that is allowed at maxmemory
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local old = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now - tonumber(ARGV[3])), 'LIMIT', 0, ARGV[2])
if #old > 0 then
  redis.call('ZREM', KEYS[1], unpack(old))
  redis.call('HDEL', KEYS[3], unpack(old))
end
local list = cmsgpack.unpack(ARGV[4])
local effect, record = effects(KEYS[1], KEYS[2], KEYS[3], KEYS[4], string.format('%.0f', now), { ARGV[1] }, list)
local answer = effect(ARGV[1], 1)
record()
return answer or ''
