-- SPDX-License-Identifier: Apache-2.0
-- join.lua: makes the group where it is missing, gives an incarnation its lease, says what it found.
-- KEYS  1 stream_key  2 leases  3 low  4 meta  5 replay  6 door
-- ARGV  1 group  2 incarnation  3 lease in ms  4 where a new group starts ('0', '$' or an id)  5 schema version
--       6 number of partitions this consumer believes in (0 = unpartitioned)
-- returns {'ok' or 'schema' or 'partitions', now in ms, '' or where the group was made anew, cause, found value}
-- A lost group is made at the low-water mark, just below the oldest entry it still needs: at the high-water mark everything
-- that was pending would be lost. If the stream itself was made anew, the mark means nothing and the group starts at 0.
local stream, group = KEYS[1], ARGV[1]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local text = string.format('%.0f', now)
local meta = redis.call('HMGET', KEYS[4], 'schema', 'partitions')
if meta[1] and tonumber(meta[1]) > tonumber(ARGV[5]) then return { 'schema', text, '', '', meta[1] } end
if meta[2] and ARGV[6] ~= '0' and meta[2] ~= ARGV[6] then return { 'partitions', text, '', '', meta[2] } end

local function groups(key)
  if redis.call('EXISTS', key) == 0 then return nil end
  local names = {}
  for _, info in ipairs(redis.call('XINFO', 'GROUPS', key)) do
    for i = 1, #info, 2 do if info[i] == 'name' then names[info[i + 1]] = true end end
  end
  return names
end
local function stream_facts()
  local facts = {}
  local info = redis.call('XINFO', 'STREAM', stream)
  for i = 1, #info, 2 do facts[info[i]] = info[i + 1] end
  return facts['last-generated-id'], tonumber(facts['entries-added'] or -1)
end
local there = groups(stream)
local start, cause = '', ''
local low = redis.call('HMGET', KEYS[3], 'id', 'added')
local replays = groups(KEYS[5])
redis.call('DEL', KEYS[6]) -- a first write that is allowed at maxmemory
if not there or not there[group] then
  if not low[1] then
    start, cause = ARGV[4], 'new'
  elseif not there then
    start, cause = '0', 'stream lost'
  else
    local last, added = stream_facts()
    if below(last, low[1]) or (added >= 0 and low[2] and added < tonumber(low[2])) then
      start, cause = '0', 'stream made anew'
    else
      start, cause = low[1], 'group lost' -- guard: low water, not high water
    end
  end
  redis.call('XGROUP', 'CREATE', stream, group, start, 'MKSTREAM')
  redis.call('DEL', KEYS[3])
  redis.call('HSET', KEYS[3], 'id', start == '$' and select(1, stream_facts()) or (start == '0' and '0-0' or start))
end
if not replays or not replays[group] then redis.call('XGROUP', 'CREATE', KEYS[5], group, '0', 'MKSTREAM') end
if not meta[1] then redis.call('HSET', KEYS[4], 'schema', ARGV[5]) end
if not meta[2] and ARGV[6] ~= '0' then redis.call('HSET', KEYS[4], 'partitions', ARGV[6]) end
if ARGV[2] ~= '' then redis.call('ZADD', KEYS[2], string.format('%.0f', now + ARGV[3]), ARGV[2]) end
return { 'ok', text, start, cause, '' }
