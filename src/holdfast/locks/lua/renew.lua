-- SPDX-License-Identifier: Apache-2.0
-- renew.lua: extends the leases of many locks in one step, each only for the acquisition that holds it.
-- KEYS  each a lock, all in one slot
-- ARGV  for each lock: its acquisition, its lease in ms
-- returns for each lock: 1 if it was extended, 0 if another acquisition or nobody holds it
local answers = {}
for n, key in ipairs(KEYS) do
  local mine = redis.call('HGET', key, 'acquisition') == ARGV[2 * n - 1] -- guard: owner
  answers[n] = mine and redis.call('PEXPIRE', key, ARGV[2 * n]) or 0
end
return answers
