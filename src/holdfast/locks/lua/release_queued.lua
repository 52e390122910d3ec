-- SPDX-License-Identifier: Apache-2.0
-- release_queued.lua: gives units of a lock, or a place in its queue, back, and hands over to whoever is first in line.
-- KEYS  1 lock_released  2 lock_holders  3 lock_queue  4 lock_about
-- ARGV  1 acquisition  2 ms for which the answer is remembered  3 PUBLISH or SPUBLISH
-- returns 1 if this acquisition gave it back, now or when it asked before; 0 if it did not hold it any more
-- Put behind token.lua and queue.lua.
local id, holders, queue, about = ARGV[1], KEYS[2], KEYS[3], KEYS[4]
local now = in_ms(server_us())
taken(holders, about, now)
local was_held = redis.call('ZREM', holders, id) == 1 -- guard: owner
redis.call('ZREM', queue, id)
forget(about, id)
if was_held then redis.call('SET', KEYS[1], '1', 'PX', ARGV[2]) end
advance(holders, queue, about, now, ARGV[3])
return redis.call('EXISTS', KEYS[1]) -- guard: asked again
