-- SPDX-License-Identifier: Apache-2.0
-- renew_worker.lua: extends the window of a worker id for the owner that has it.
-- KEYS  1 worker_clock  2 workers  3 worker_owners
-- ARGV  1 owner  2 worker  3 lease in ms  4 the server's run id ('' = hidden)  5 last ms that the owner was told
-- returns {last ms, now in ms}, or {'', now in ms} when it is not the owner's any more
-- Put behind store_time.lua. A server that lost the grant in a failover does not have it: that owner claims anew. So does
-- one whose window had ended before this server was met: somebody else's may have been lost meanwhile.
local now, _, met = store_time(KEYS[1], ARGV[4], tonumber(ARGV[3]))
local known = redis.call('HGET', KEYS[3], ARGV[2])
if not known or cjson.decode(known).id ~= ARGV[1] then return { '', text(now) } end -- guard: owner
local known_last = tonumber(redis.call('ZSCORE', KEYS[2], ARGV[2]) or '0')
if known_last < met then return { '', text(now) } end -- guard: a window that was lost meanwhile
local last = math.max(now + tonumber(ARGV[3]), tonumber(ARGV[5]), known_last)
redis.call('ZADD', KEYS[2], text(last), ARGV[2])
return { text(last), text(now) }
