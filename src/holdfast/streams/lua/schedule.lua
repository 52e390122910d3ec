-- SPDX-License-Identifier: Apache-2.0
-- schedule.lua: keeps a message until its time, or takes it back.
-- KEYS  1 later  2 later_body
-- ARGV  1 message id  2 server ms, or +ms from now, or '' to take it back  3 its fields as netstrings
-- returns 1 if kept or taken back, 0 if there was nothing to take back
if ARGV[2] == '' then
  redis.call('HDEL', KEYS[2], ARGV[1])
  return redis.call('ZREM', KEYS[1], ARGV[1])
end
local at = ARGV[2]
if string.sub(at, 1, 1) == '+' then
  local clock = redis.call('TIME')
  at = string.format('%.0f', clock[1] * 1000 + math.floor(clock[2] / 1000) + tonumber(string.sub(at, 2)))
end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
redis.call('ZADD', KEYS[1], at, ARGV[1])
return 1
