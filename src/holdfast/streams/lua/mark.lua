-- SPDX-License-Identifier: Apache-2.0
-- mark.lua: writes the start mark of a suspect whose handler is about to run.
-- KEYS  1 stream_key  2 leases  3 marks  4 door
-- ARGV  1 group  2 incarnation  3 id  4 delivery count
-- returns 1, or 0 when this delivery is no longer this incarnation's
if not redis.call('ZSCORE', KEYS[2], ARGV[2]) then return 0 end
local row = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[3], ARGV[3], 1)[1]
if not row or row[2] ~= ARGV[2] or row[4] ~= tonumber(ARGV[4]) then return 0 end
redis.call('DEL', KEYS[4]) -- a first write that is allowed at maxmemory
redis.call('HSET', KEYS[3], ARGV[3], ARGV[2])
return 1
