-- SPDX-License-Identifier: Apache-2.0
-- later.lua: moves messages published for later, whose time has come, into the stream.
-- KEYS  1 stream_key  2 later  3 later_body
-- ARGV  1 messages moved at most
-- returns {moved, next due in ms or '', now}
local clock = redis.call('TIME')
local now = string.format('%.0f', clock[1] * 1000 + math.floor(clock[2] / 1000))
local ids = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, tonumber(ARGV[1]))
local moved = 0
for _, id in ipairs(ids) do
  local raw = redis.call('HGET', KEYS[3], id)
  -- XADD comes first: a refusal for lack of memory then leaves the message where it is.
  if raw then redis.call('XADD', KEYS[1], '*', unpack(fields_of(raw))) end
  redis.call('ZREM', KEYS[2], id)
  redis.call('HDEL', KEYS[3], id)
  moved = moved + 1
end
local row = redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')
return { moved, row[2] or '', now }
