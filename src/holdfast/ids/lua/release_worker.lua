-- SPDX-License-Identifier: Apache-2.0
-- release_worker.lua: ends the window of a worker id at the last id that its owner made.
-- KEYS  1 workers  2 worker_owners
-- ARGV  1 owner  2 worker  3 ms of the last id
-- returns 1 if it was the owner's, else 0
local known = redis.call('HGET', KEYS[2], ARGV[2])
if not known then return 0 end
local held = cjson.decode(known)
if held.id ~= ARGV[1] then return 0 end -- guard: owner
redis.call('ZADD', KEYS[1], ARGV[3], ARGV[2])
held.id = ''
redis.call('HSET', KEYS[2], ARGV[2], cjson.encode(held))
return 1
