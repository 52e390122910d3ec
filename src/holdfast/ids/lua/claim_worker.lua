-- SPDX-License-Identifier: Apache-2.0
-- claim_worker.lua: gives a worker id and a window of store time that begins behind every one given for it before.
-- KEYS  1 worker_clock  2 workers  3 worker_owners
-- ARGV  1 owner  2 its name  3 lease in ms  4 the server's run id ('' = hidden)  5 number of worker ids
--       6 worker id that is wanted ('' = any)
-- returns {'granted', worker, first ms, last ms, now in ms}, {'taken', worker, name of its owner, its last ms, now} or
-- {'exhausted', 0, '', when the first one is free, now}
-- Put behind store_time.lua. A worker id that its owner's name had before is given to it again, if it is free; else the one
-- that has been free for longest, so that a window that ended just now is left alone for as long as there are others.
local owner, name, lease = ARGV[1], ARGV[2], tonumber(ARGV[3])
local now, barrier = store_time(KEYS[1], ARGV[4], lease)

local function last_of(worker) return tonumber(redis.call('ZSCORE', KEYS[2], worker) or '0') end
local function said(worker) return redis.call('HGET', KEYS[3], worker) end
local function owner_of(worker)
  local text_of = said(worker)
  return text_of and cjson.decode(text_of) or nil
end
local function live(worker, held) -- one that was given back is free, even if its last id was a little ahead
  return held and held.id ~= '' and last_of(worker) >= now
end
local function granted(worker)
  local first = math.max(now, last_of(worker) + 1, barrier) -- guard: behind the last one
  local last = first + lease
  redis.call('ZADD', KEYS[2], text(last), worker)
  redis.call('HSET', KEYS[3], worker, cjson.encode({ id = owner, name = name, first = text(first) }))
  return { 'granted', tonumber(worker), text(first), text(last), text(now) }
end

local function again(worker) -- asked again by the owner that holds it: a lost reply
  local held = owner_of(worker)
  if live(worker, held) and held.id == owner then
    return { 'granted', tonumber(worker), held.first, text(last_of(worker)), text(now) }
  end
end

if ARGV[6] ~= '' then
  local same = again(ARGV[6])
  if same then return same end
  local held = owner_of(ARGV[6])
  if live(ARGV[6], held) then -- guard: two live holders
    return { 'taken', tonumber(ARGV[6]), held.name, text(last_of(ARGV[6])), text(now) }
  end
  return granted(ARGV[6])
end

local before, oldest
for _, worker in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do
  local same = again(worker)
  if same then return same end
  local held = owner_of(worker)
  if not live(worker, held) then
    if held and name ~= '' and held.name == name then before = worker end
    oldest = oldest or worker
  end
end
if before then return granted(before) end
if redis.call('ZCARD', KEYS[2]) < tonumber(ARGV[5]) then
  for worker = 0, tonumber(ARGV[5]) - 1 do
    if not redis.call('ZSCORE', KEYS[2], worker) then return granted(tostring(worker)) end
  end
end
if oldest then return granted(oldest) end
local first = redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')[2] -- guard: exhausted
return { 'exhausted', 0, '', first, text(now) }
