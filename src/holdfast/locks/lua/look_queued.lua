-- SPDX-License-Identifier: Apache-2.0
-- look_queued.lua: who holds a lock with a queue, and who waits for it, at one moment. Changes nothing.
-- KEYS  1 lock_holders  2 lock_queue  3 lock_about
-- ARGV  none
-- returns {units there are, holders, waiters in their order}; each of these is {acquisition, ms left of its lease or of
-- its place, units, token or '', server ms since when it holds or waits, who}. Whoever's time has run out is left out.
-- Put behind token.lua.
local holders, queue, about = KEYS[1], KEYS[2], KEYS[3]
local now = in_ms(server_us())

local function record(id, ends)
  local known = redis.call('HMGET', about, 'u' .. id, 't' .. id, 's' .. id, 'w' .. id)
  return { id, text(ends - now), known[1] or '', known[2] or '', known[3] or '0', known[4] or '{}' }
end

local held, waiting = {}, {}
local scored = redis.call('ZRANGE', holders, 0, -1, 'WITHSCORES')
for n = 1, #scored, 2 do
  local ends = tonumber(scored[n + 1])
  if ends > now then held[#held + 1] = record(scored[n], ends) end
end
for _, id in ipairs(redis.call('ZRANGE', queue, 0, -1)) do
  local ends = tonumber(redis.call('HGET', about, 'e' .. id) or '0')
  if ends > now then waiting[#waiting + 1] = record(id, ends) end
end
return { redis.call('HGET', about, 'capacity') or '0', held, waiting }
