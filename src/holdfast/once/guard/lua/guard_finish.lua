-- SPDX-License-Identifier: Apache-2.0
-- guard_finish.lua: ends an attempt: its result is recorded, or its mark removed.
-- KEYS  1 record
-- ARGV  1 owner  2 'done' or 'cleared'  3 result  4 retention in ms
-- returns 1 if so recorded, now or when asked before; 0 when the key is another's, or there is nothing to clear
local row = redis.call('HMGET', KEYS[1], 'state', 'owner')
if row[1] and row[2] ~= ARGV[1] then return 0 end -- guard: who was taken over writes no result
if ARGV[2] == 'cleared' then
  if row[1] ~= 'running' then return 0 end
  return redis.call('DEL', KEYS[1])
end
if row[1] == 'done' then return 1 end
-- Without a mark it is written all the same: the server has forgotten the mark, but the effect is in.
redis.call('DEL', KEYS[1]) -- allowed at maxmemory, and what follows it too
redis.call('HSET', KEYS[1], 'state', 'done', 'owner', ARGV[1], 'result', ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return 1
