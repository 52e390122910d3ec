-- SPDX-License-Identifier: Apache-2.0
-- acquire.lua: gives an acquisition all of some locks or none of them, with one fencing token that only grows for each.
-- KEYS  1 lock_clock  2 lock  3 lock_token. More locks follow, each with its token
-- ARGV  1 acquisition  2 lease in ms  3 the server's run id ('' = hidden)  4 who asks, as JSON, for people
--       5 largest token that whoever asks has ever seen
-- returns {1, lease in ms, token} when they are held now; else {0, ms until the last of them is free at the latest,
-- largest of their tokens}
-- Asked again by the acquisition that holds them, it extends their leases and answers with the same token: a lost reply
-- costs a second question and nothing else. Put behind token.lua.
local now_us = server_us()
local left_ms, largest, ours, missing = -1, 0, nil, false
for n = 2, #KEYS, 2 do
  local held = redis.call('HMGET', KEYS[n], 'acquisition', 'token')
  if held[1] == ARGV[1] then -- guard: asked again
    ours = held[2]
  elseif held[1] then -- guard: held
    left_ms = math.max(left_ms, redis.call('PTTL', KEYS[n]))
    largest = math.max(largest, tonumber(held[2]))
  else
    missing = true
  end
end
if left_ms >= 0 then return { 0, left_ms, text(largest) } end -- guard: all or none
local token = ours
if missing then
  token = new_token(KEYS, 3, 2, now_us, offset_us(KEYS[1], ARGV[3]), ARGV[5])
  for n = 2, #KEYS, 2 do
    redis.call('HSET', KEYS[n], 'acquisition', ARGV[1], 'token', token, 'since', text(in_ms(now_us)), 'who', ARGV[4])
  end
end
for n = 2, #KEYS, 2 do redis.call('PEXPIRE', KEYS[n], ARGV[2]) end
return { 1, tonumber(ARGV[2]), token }
