-- SPDX-License-Identifier: Apache-2.0
-- reconcile.lua: compares one page of what is parked with the due set, and one page of the due set with what is parked.
-- KEYS  1 stream_key  2 due  3 notes  4 door
-- ARGV  1 group  2 id after which to go on in the pending list ('-' = from the start)  3 rank to go on from in the due set
--       4 page length
-- returns {next id or '', next rank or 0, undated, orphans}
-- Parked but not dated: due now. Dated but not parked stays dated: due.lua decides at its time whether it is restored.
local page = tonumber(ARGV[4])
local rows = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[2], '+', page, 'hf.parked')
local undated, next_id = {}, ''
for _, row in ipairs(rows) do
  if not redis.call('ZSCORE', KEYS[2], row[1]) then undated[#undated + 1] = row[1] end
end
if #rows == page then next_id = '(' .. rows[#rows][1] end
local rank = tonumber(ARGV[3])
local dated = redis.call('ZRANGE', KEYS[2], rank, rank + page - 1)
local orphans = {}
for _, id in ipairs(dated) do
  local row = redis.call('XPENDING', KEYS[1], ARGV[1], id, id, 1)[1]
  if not row then orphans[#orphans + 1] = id end
end
if #undated + #orphans > 0 then
  redis.call('DEL', KEYS[4]) -- a first write that is allowed at maxmemory
  for _, id in ipairs(undated) do redis.call('ZADD', KEYS[2], 0, id) end -- guard: due now
  for _, id in ipairs(orphans) do redis.call('ZADD', KEYS[2], 0, id) end -- due.lua restores it or drops it
end
return { next_id, #dated == page and rank + page or 0, #undated, #orphans }
