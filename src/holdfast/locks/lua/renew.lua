-- SPDX-License-Identifier: Apache-2.0
-- renew.lua: extends the leases of many holds in one step, each only for the acquisition that has it.
-- KEYS  each a lock, all in one slot; those of one hold stand together
-- ARGV  for each hold: its acquisition, its lease in ms, number of its keys
-- returns for each hold: 1 if all its locks were extended, 0 if another acquisition or nobody holds one
local answers, at = {}, 0
for n = 1, #ARGV / 3 do
  local id, lease, count = ARGV[3 * n - 2], ARGV[3 * n - 1], tonumber(ARGV[3 * n])
  local mine = 1
  for k = at + 1, at + count do
    if redis.call('HGET', KEYS[k], 'acquisition') ~= id then mine = 0 end -- guard: owner
  end
  if mine == 1 then
    for k = at + 1, at + count do redis.call('PEXPIRE', KEYS[k], lease) end
  end
  answers[n], at = mine, at + count
end
return answers
