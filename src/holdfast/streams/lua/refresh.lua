-- SPDX-License-Identifier: Apache-2.0
-- refresh.lua: makes what is parked, and what this incarnation has in flight, look freshly delivered, so that consumers of
-- other make that claim by idle time leave it alone. Changes neither owners nor delivery counts.
-- KEYS  1 stream_key  2 leases
-- ARGV  1 group  2 incarnation  3 idle in ms from which an entry is refreshed  4 entries of each at most
-- returns how many were refreshed
if not redis.call('ZSCORE', KEYS[2], ARGV[2]) then return 0 end
local done = 0
for _, owner in ipairs({ 'hf.parked', ARGV[2] }) do
  local rows = redis.call('XPENDING', KEYS[1], ARGV[1], 'IDLE', ARGV[3], '-', '+', ARGV[4], owner)
  for _, row in ipairs(rows) do
    if redis.call('XRANGE', KEYS[1], row[1], row[1])[1] then -- claiming an entry without payload would erase it
      redis.call('XCLAIM', KEYS[1], ARGV[1], owner, 0, row[1], 'JUSTID')
      done = done + 1
    end
  end
end
return done
