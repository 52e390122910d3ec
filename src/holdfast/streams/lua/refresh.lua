-- SPDX-License-Identifier: Apache-2.0
-- refresh.lua: makes one page of what is parked, or of what this incarnation has in flight, look freshly delivered, so that
-- consumers of other make that claim by idle time leave it alone. Changes neither owners nor delivery counts.
-- KEYS  1 stream_key  2 leases
-- ARGV  1 group  2 incarnation  3 whose entries: the incarnation's, or hf.parked  4 idle in ms from which an entry is refreshed
--       5 id after which to go on, as '(id' ('-' = from the start)  6 page length
-- returns where to go on, as '(id', or '' at the end
if not redis.call('ZSCORE', KEYS[2], ARGV[2]) then return '' end
local rows = redis.call('XPENDING', KEYS[1], ARGV[1], 'IDLE', ARGV[4], ARGV[5], '+', ARGV[6], ARGV[3])
for _, row in ipairs(rows) do
  if redis.call('XRANGE', KEYS[1], row[1], row[1])[1] then -- claiming an entry without payload would erase it
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[3], 0, row[1], 'JUSTID') -- guard: looks freshly delivered
  end
end
if #rows < tonumber(ARGV[6]) then return '' end
return '(' .. rows[#rows][1]
