-- SPDX-License-Identifier: Apache-2.0
-- acquire.lua: gives a lock to an acquisition if nobody holds it, with a fencing token that only grows.
-- KEYS  1 lock  2 lock_token  3 lock_clock
-- ARGV  1 acquisition  2 lease in ms  3 the server's run id ('' = hidden)  4 who asks, as JSON, for people
--       5 largest token that whoever asks has ever seen
-- returns {1 if it is held now, token, acquisition that holds it, ms left of its lease, now in ms}
-- Asked again by the acquisition that holds it, it extends the lease and answers with the same token: a lost reply costs
-- a second question and nothing else.
local clock = redis.call('TIME')
local now_us = clock[1] * 1000000 + clock[2]
local now = string.format('%.0f', math.floor(now_us / 1000))
local held = redis.call('HMGET', KEYS[1], 'acquisition', 'token')
if held[1] == ARGV[1] then -- guard: asked again
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  return { 1, held[2], ARGV[1], tonumber(ARGV[2]), now }
end
if held[1] then return { 0, held[2], held[1], redis.call('PTTL', KEYS[1]), now } end -- guard: held
-- A server that was not the last one may have lost grants, and its clock may be behind: it begins a minute ahead.
local seen = redis.call('HMGET', KEYS[3], 'run_id', 'offset')
local offset = tonumber(seen[2] or '0')
if seen[1] ~= ARGV[3] then
  if seen[1] then offset = offset + 60000000 end -- guard: another server
  redis.call('HSET', KEYS[3], 'run_id', ARGV[3], 'offset', string.format('%.0f', offset))
end
local last = tonumber(redis.call('GET', KEYS[2]) or '0')
local token = string.format('%.0f', math.max(last + 1, now_us + offset, ARGV[5] + 1)) -- guard: tokens only grow
redis.call('SET', KEYS[2], token)
redis.call('HSET', KEYS[1], 'acquisition', ARGV[1], 'token', token, 'since', now, 'who', ARGV[4])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return { 1, token, ARGV[1], tonumber(ARGV[2]), now }
