-- SPDX-License-Identifier: Apache-2.0
-- use_secret.lua: a process joins the users of a secret, renews its lease, and says which version it uses.
-- KEYS  1 secret_users
-- ARGV  1 process  2 version  3 lease in ms  4 ms for which the dead are remembered
-- returns now in ms
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local ends = now + tonumber(ARGV[3])
redis.call('HSET', KEYS[1], ARGV[1], string.format('%s %.0f %.0f', ARGV[2], now, ends))
local stays = tonumber(ARGV[3]) + tonumber(ARGV[4])
if redis.call('PTTL', KEYS[1]) < stays then redis.call('PEXPIRE', KEYS[1], stays) end
return now
