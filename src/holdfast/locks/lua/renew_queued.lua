-- SPDX-License-Identifier: Apache-2.0
-- renew_queued.lua: extends the leases of many holds of locks with a queue, each only for the acquisition that has it.
-- KEYS  1 lock_holders  2 lock_about. More holds follow in such pairs, all in one slot
-- ARGV  for each hold: its acquisition, its lease in ms, 2
-- returns for each hold: 1 if it was extended, 0 if it has ended
-- Put behind token.lua and queue.lua.
local now = in_ms(server_us())
local answers = {}
for n = 1, #KEYS / 2 do
  local holders, id, lease = KEYS[2 * n - 1], ARGV[3 * n - 2], tonumber(ARGV[3 * n - 1])
  local ends = redis.call('ZSCORE', holders, id)
  local known = redis.call('HEXISTS', KEYS[2 * n], 'u' .. id) == 1 -- guard: a hold of unknown size is told so
  local mine = known and ends and tonumber(ends) > now -- guard: owner
  if mine then
    redis.call('ZADD', holders, text(now + lease), id)
    kept({ holders, KEYS[2 * n] }, lease + 60000)
  end
  answers[n] = mine and 1 or 0
end
return answers
