-- SPDX-License-Identifier: Apache-2.0
-- users_of_secret.lua: who uses a secret, and since when the dead are silent. Those long dead are forgotten.
-- KEYS  1 secret_users
-- ARGV  1 ms for which the dead are remembered
-- returns {now in ms, process, 'version beat ends', process, …}
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local all = redis.call('HGETALL', KEYS[1])
local found = { now }
for i = 1, #all, 2 do
  local ends = tonumber(string.match(all[i + 1], '(%d+)$'))
  if ends + tonumber(ARGV[1]) < now then
    redis.call('HDEL', KEYS[1], all[i])
  else
    found[#found + 1], found[#found + 2] = all[i], all[i + 1]
  end
end
return found
