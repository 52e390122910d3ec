-- SPDX-License-Identifier: Apache-2.0
-- acquire_queued.lua: gives an acquisition its units of a lock with a queue, or a place in that.
-- KEYS  1 lock_clock  2 lock_holders  3 lock_queue  4 lock_about  5 lock_token
-- ARGV  1 acquisition  2 lease in ms  3 the server's run id ('' = hidden)  4 who asks, as JSON, for people
--       5 largest token that whoever asks has ever seen  6 units wanted  7 units there are
--       8 ms for which its place is kept, 0: it does not wait  9 channel on which it waits  10 PUBLISH or SPUBLISH
-- returns {1, lease in ms, token} when it is held now; else {0, ms until it is worth asking again, largest token}
-- Asked again by the acquisition that holds it, it extends the lease and answers with the same token; asked again by one
-- that waits, it keeps its place. Put behind token.lua and queue.lua.
local id, holders, queue, about = ARGV[1], KEYS[2], KEYS[3], KEYS[4]
local lease, patience = tonumber(ARGV[2]), tonumber(ARGV[8])
local now_us = server_us()
local now = in_ms(now_us)
redis.call('HSET', about, 'capacity', ARGV[7])

taken(holders, about, now)
if not redis.call('ZSCORE', holders, id) then -- guard: asked again
  if not redis.call('ZSCORE', queue, id) then -- guard: its place is kept
    local last = redis.call('ZRANGE', queue, -1, -1, 'WITHSCORES')[2]
    redis.call('ZADD', queue, text(tonumber(last or '0') + 1), id)
    redis.call('HSET', about, 's' .. id, text(now))
  end
  local place_ms = math.max(patience, 1)
  redis.call('HSET', about, 'u' .. id, ARGV[6], 'p' .. id, text(place_ms), 'e' .. id, text(now + place_ms),
    'c' .. id, ARGV[9], 'w' .. id, ARGV[4])
  advance(holders, queue, about, now, ARGV[10])
end
kept({ holders, queue, about }, lease + patience + 60000)

if redis.call('ZSCORE', holders, id) then
  redis.call('ZADD', holders, text(now + lease), id)
  local token = redis.call('HGET', about, 't' .. id)
  if not token then
    token = new_token(KEYS, 5, 1, now_us, offset_us(KEYS[1], ARGV[3]), ARGV[5])
    redis.call('HSET', about, 't' .. id, token, 's' .. id, text(now))
  end
  return { 1, lease, token }
end

-- The first in line waits for a lease to end, everybody else for whoever is before them to be late.
local again
if patience == 0 then
  redis.call('ZREM', queue, id)
  forget(about, id)
else
  again = before(queue, about, redis.call('ZRANK', queue, id), now)
end
again = again or redis.call('ZRANGE', holders, 0, 0, 'WITHSCORES')[2] or '0'
return { 0, math.max(tonumber(again) - now, 0), redis.call('GET', KEYS[5]) or '0' }
