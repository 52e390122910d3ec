-- SPDX-License-Identifier: Apache-2.0
-- leave.lua: gives up an incarnation's lease; the consumer goes too if it holds nothing.
-- KEYS  1 stream_key  2 leases  3 replay
-- ARGV  1 group  2 incarnation
-- returns how many entries were still pending to it (others take them over at their next sweep)
local left = 0
for _, key in ipairs({ KEYS[1], KEYS[3] }) do
  local rows = redis.pcall('XPENDING', key, ARGV[1], '-', '+', 1000, ARGV[2])
  if rows.err then rows = {} else
    if #rows == 0 then redis.call('XGROUP', 'DELCONSUMER', key, ARGV[1], ARGV[2]) end
  end
  left = left + #rows
end
redis.call('ZREM', KEYS[2], ARGV[2])
return left
