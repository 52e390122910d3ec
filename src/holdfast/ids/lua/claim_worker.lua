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

-- What is kept of the workers that were looked at: the end of the last window, and its owner. Of one, or of all in two
-- calls: a call for each would hold up the server for milliseconds in a pool of a thousand.
local ends, owners = {}, {}
local function look_at(worker)
  ends[worker] = tonumber(redis.call('ZSCORE', KEYS[2], worker) or '0')
  owners[worker] = redis.call('HGET', KEYS[3], worker) or nil
end
local function look_at_all() -- returns them, the one first whose window ends first
  local found, order = redis.call('ZRANGE', KEYS[2], 0, -1, 'WITHSCORES'), {}
  for i = 1, #found, 2 do
    order[#order + 1] = found[i]
    ends[found[i]] = tonumber(found[i + 1])
  end
  local kept = redis.call('HGETALL', KEYS[3])
  for i = 1, #kept, 2 do owners[kept[i]] = kept[i + 1] end
  return order
end

local function owner_of(worker) return owners[worker] and cjson.decode(owners[worker]) or nil end
local function live(worker, held) -- one that was given back is free, even if its last id was a little ahead
  return held and held.id ~= '' and ends[worker] >= now
end
local function granted(worker)
  local first = math.max(now, (ends[worker] or 0) + 1, barrier) -- guard: behind the last one
  local last = math.max(first, math.max(now, barrier) + lease) -- guard: a lease from now, or barriers were passed
  redis.call('ZADD', KEYS[2], text(last), worker)
  redis.call('HSET', KEYS[3], worker, cjson.encode({ id = owner, name = name, first = text(first) }))
  return { 'granted', tonumber(worker), text(first), text(last), text(now) }
end
local function same(worker, held) -- asked again by the owner that holds it: a lost reply
  if live(worker, held) and held.id == owner then
    return { 'granted', tonumber(worker), held.first, text(ends[worker]), text(now) }
  end
end

if ARGV[6] ~= '' then
  look_at(ARGV[6])
  local held = owner_of(ARGV[6])
  local again = same(ARGV[6], held)
  if again then return again end
  if live(ARGV[6], held) then -- guard: two live holders
    return { 'taken', tonumber(ARGV[6]), held.name, text(ends[ARGV[6]]), text(now) }
  end
  return granted(ARGV[6])
end

local before, oldest
local order = look_at_all()
for _, worker in ipairs(order) do
  local held = owner_of(worker)
  local again = same(worker, held)
  if again then return again end
  if not live(worker, held) then
    if held and name ~= '' and held.name == name then before = worker end
    oldest = oldest or worker
  end
end
if before then return granted(before) end
if #order < tonumber(ARGV[5]) then
  for worker = 0, tonumber(ARGV[5]) - 1 do
    if not ends[tostring(worker)] then return granted(tostring(worker)) end
  end
end
if oldest then return granted(oldest) end
return { 'exhausted', 0, '', text(ends[order[1]]), text(now) } -- guard: exhausted
