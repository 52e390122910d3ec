-- SPDX-License-Identifier: Apache-2.0
-- force_unlock_queued.lua: takes a lock with a queue from one of its holders, and hands over to whoever is first in line.
-- KEYS  1 lock_holders  2 lock_queue  3 lock_about
-- ARGV  1 fencing token of the holder  2 PUBLISH or SPUBLISH
-- returns {1 if it was taken away else 0, the other tokens that hold it …}
-- Put behind token.lua and queue.lua.
local holders, queue, about = KEYS[1], KEYS[2], KEYS[3]
local now = in_ms(server_us())
local done, tokens = 0, {}
taken(holders, about, now)
for _, id in ipairs(redis.call('ZRANGE', holders, 0, -1)) do
  local token = redis.call('HGET', about, 't' .. id)
  if token == ARGV[1] then -- guard: looked at
    redis.call('ZREM', holders, id)
    forget(about, id)
    done = 1
  elseif token then
    tokens[#tokens + 1] = token
  end
end
if done == 1 then advance(holders, queue, about, now, ARGV[2]) end -- guard: handed over
return { done, unpack(tokens) }
