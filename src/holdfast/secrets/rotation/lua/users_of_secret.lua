-- SPDX-License-Identifier: Apache-2.0
-- users_of_secret.lua: who uses a secret, and since when the dead are silent. Those long dead are forgotten.
-- KEYS  1 secret_users
-- ARGV  1 ms for which the dead are remembered
-- returns {now in ms, ms since this server keeps this register, process, 'version beat ends', process, …}
-- The field '' says which server keeps it, and since when: one that was restarted, or took over, may have lost what was
-- said last, and whoever asks waits until all that live have said it again.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local info = redis.pcall('INFO', 'server')
local run_id = type(info) == 'string' and string.match(info, 'run_id:(%w+)') or '-'
local all = redis.call('HGETALL', KEYS[1])
local found, since = { now, 0 }, now
for i = 1, #all, 2 do
  local first, last = string.match(all[i + 1], '^(%S+).-(%d+)$')
  if all[i] == '' then
    if first == run_id then since = tonumber(last) end -- guard: another server
  elseif tonumber(last) + tonumber(ARGV[1]) < now then
    redis.call('HDEL', KEYS[1], all[i])
  else
    found[#found + 1], found[#found + 2] = all[i], all[i + 1]
  end
end
if since == now then
  redis.call('HSET', KEYS[1], '', string.format('%s %.0f', run_id, now))
  if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[1]) then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
end
found[2] = math.max(0, now - since)
return found
