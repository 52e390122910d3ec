-- SPDX-License-Identifier: Apache-2.0
-- resolve.lua: a mark goes, because its attempt ended without effect, or because a person said how it ended. A person may
-- also give up what stopped half-way.
-- KEYS  1 begun  2 done  3 leases  4 door  5 half_done
-- ARGV  1 identity  2 incarnation whose mark it must be, or '' for any that is not alive
--       3 'applied' (record it), 'nothing' (as if never begun), 'again' (who comes next may try, with the same key),
--       'doubt' (in doubt although its consumer lives)
-- returns 'resolved', 'absent', or 'alive' (its consumer is at it)
local function applied()
  local clock = redis.call('TIME')
  redis.call('ZADD', KEYS[2], string.format('%.0f', clock[1] * 1000 + math.floor(clock[2] / 1000)), ARGV[1])
end
local found = redis.call('HGET', KEYS[1], ARGV[1])
if not found then
  if ARGV[2] ~= '' or redis.call('HEXISTS', KEYS[5], ARGV[1]) == 0 then return 'absent' end
  redis.call('DEL', KEYS[4])
  if ARGV[3] ~= 'again' then redis.call('HDEL', KEYS[5], ARGV[1]) end -- again: it goes on behind what is in
  if ARGV[3] == 'applied' then applied() end
  return 'resolved'
end
local told, who, since = string.match(found, '^(%??)(%S+) (%d+)$')
if ARGV[2] ~= '' then
  if told .. who ~= ARGV[2] then return 'absent' end -- guard: only one's own
elseif told == '' and redis.call('ZSCORE', KEYS[3], who) then -- guard: a person does not end what is under way
  return 'alive'
end
redis.call('DEL', KEYS[4]) -- a first write that is allowed at maxmemory
if ARGV[3] == 'again' or ARGV[3] == 'doubt' then
  redis.call('HSET', KEYS[1], ARGV[1], (ARGV[3] == 'again' and '-' or '?' .. who) .. ' ' .. since)
  return 'resolved'
end
redis.call('HDEL', KEYS[1], ARGV[1])
if ARGV[3] == 'applied' then applied() end
return 'resolved'
