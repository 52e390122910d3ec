-- SPDX-License-Identifier: Apache-2.0
-- settle.lua: carries out what was decided about a batch of deliveries, each checked against its fence.
-- KEYS  1 stream_key  2 leases  3 due  4 notes  5 marks  6 dead  7 letters  8 owner  9 parked  10 parked_due  11 door
--       12 low  13 done  14 half_done  15 results  16 begun, and behind them each key that an effect reads or writes
-- ARGV  1 group  2 incarnation  3 epoch ('' = unpartitioned)  4 'keep' or 'delete' what is acknowledged
--       5 check lease (0 only when a dead incarnation's entry without payload is buried)
--       6 7 range of ids that holds most of the acknowledged ones, effects among them (see lane.lookup_range)
--       8 field of `low` that counts what is settled here
--       9 number n of plain acknowledgements  10 MessagePack of the effects ('' = none): of each id, count, identity
--       ('' = none), number of fields, fields; then n times: id, delivery count
--       then to the end, for each other settlement: id, count, verb (1 park 2 bury 3 release 4 stow), due in ms,
--       note ('' = none), letter id, number of fields, fields
--       fields of an effect: see effect.lua, which stands before this script
-- returns {now in ms, index, code, index, code, …} for those that are not OK, indexes from 1 in order of ARGV.
--       codes: 1 other owner or delivery, 2 epoch moved on, 3 gone, 4 burial refused, 5 payload missing,
--       6 effect was in already (acknowledged), 7 a write of the effect was refused (in the place of the code stands
--       'writes in|of so many|error'), 8 what its handler had read has changed
-- All reads and checks come before the first write. The first write is a DEL, which a server at its memory limit allows,
-- and after which it allows the rest: without that nothing could settle, and memory could never be freed.
local stream, leases, due, notes, marks = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local group, me = ARGV[1], ARGV[2]
local PARKED = 'hf.parked'
local CHUNK = 1000 -- unpack fails near 8,000 values

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

-- 1. parse
local ids, counts, rest, identities = {}, {}, {}, {}
local acks = tonumber(ARGV[9])
local at = 11
for i = 1, acks do
  ids[i], counts[i] = ARGV[at], tonumber(ARGV[at + 1])
  at = at + 2
end
local total = acks
local list, from = ARGV[10] ~= '' and cmsgpack.unpack(ARGV[10]) or {}, 1
while list[from] do
  total = total + 1
  ids[total], counts[total], identities[#identities + 1] = list[from], list[from + 1], list[from + 2]
  rest[total] = from + 2 -- an effect: where its identity stands
  from = from + 4 + list[from + 3]
end
while at <= #ARGV do
  total = total + 1
  local fields = tonumber(ARGV[at + 6])
  ids[total], counts[total] = ARGV[at], tonumber(ARGV[at + 1])
  rest[total] = { verb = ARGV[at + 2], due_in = tonumber(ARGV[at + 3]), note = ARGV[at + 4], letter = ARGV[at + 5],
                  first = at + 7, last = at + 6 + fields }
  at = at + 7 + fields
end

local reply = { string.format('%.0f', now) }
local function refuse(i, code)
  reply[#reply + 1] = i
  reply[#reply + 1] = code
end
local function refuse_all(code)
  for i = 1, total do refuse(i, code) end
  return reply
end

-- 2. is this incarnation alive, and is the partition still its own?
if ARGV[5] == '1' and not redis.call('ZSCORE', leases, me) then return refuse_all(1) end -- guard: dead stays dead
if ARGV[3] ~= '' and redis.call('HGET', KEYS[8], 'epoch') ~= ARGV[3] then return refuse_all(2) end -- guard: epoch

-- 3. who owns what? One range for the acknowledgements; own entries in between may use up its COUNT, so each miss
--    is looked up alone. NOGROUP is raised here, before anything was written.
local owned, done_here = {}, acks + #identities
if done_here > 1 then
  for _, row in ipairs(redis.call('XPENDING', stream, group, ARGV[6], ARGV[7], done_here + 50, me)) do
    owned[row[1]] = row[4]
  end
end
local function settle_allowed(i)
  local id = ids[i]
  local count = owned[id]
  if not count then
    local row = redis.call('XPENDING', stream, group, id, id, 1)[1]
    if not row then return false, 3 end
    if row[2] ~= me then return false, 1 end -- guard: owner
    count = row[4]
  end
  if count ~= counts[i] then return false, 1 end -- guard: delivery count
  return true
end
local ack, others = {}, {}
for i = 1, total do
  local allowed, code = settle_allowed(i)
  local what = rest[i]
  if not allowed then
    refuse(i, code)
  elseif not what then
    ack[#ack + 1] = ids[i]
  elseif type(what) == 'table' and what.verb ~= '2' and #redis.call('XRANGE', stream, ids[i], ids[i]) == 0 then
    refuse(i, 5) -- claiming an entry without payload would erase it, so it is buried instead
  else
    others[#others + 1] = i
  end
end
if #ack == 0 and #others == 0 then return reply end
-- What is known of the effects: asked before the first write, so that a damaged key raises here and not half-way.
local effect, record
if #identities > 0 then effect, record = effects(KEYS[13], KEYS[14], KEYS[15], KEYS[16], reply[1], identities, list) end
local alone = ARGV[4] == 'delete' and #redis.call('XINFO', 'GROUPS', stream) == 1
local extras = redis.call('EXISTS', due, notes, marks) > 0

-- 4. writes
redis.call('DEL', KEYS[11]) -- guard: first write that is allowed at maxmemory

local function each_chunk(list, step)
  for from = 1, #list, CHUNK do
    step(unpack(list, from, math.min(from + CHUNK - 1, #list)))
  end
end
local function forget(list)
  if extras then
    each_chunk(list, function(...) redis.call('HDEL', notes, ...) end)
    each_chunk(list, function(...) redis.call('HDEL', marks, ...) end)
    each_chunk(list, function(...) redis.call('ZREM', due, ...) end)
  end
end
local settled = 0
local function acknowledge(list)
  settled = settled + #list
  each_chunk(list, function(...) redis.call('XACK', stream, group, ...) end)
  if alone then each_chunk(list, function(...) redis.call('XDEL', stream, ...) end) end
  forget(list)
end
local function fields_of(what)
  local fields = {}
  for f = what.first, what.last do fields[#fields + 1] = ARGV[f] end
  return fields
end
local function append(key, fields)
  if #fields > 7900 then return { err = 'more fields than a script can pass on' } end
  return redis.pcall('XADD', key, '*', unpack(fields))
end
local function set_note(id, note)
  if note ~= '' then redis.call('HSET', notes, id, note) end
end

if #ack > 0 then acknowledge(ack) end
local effects_to_apply = {} -- last: nothing that may raise comes between an effect and its record
for _, i in ipairs(others) do
  local id, what = ids[i], rest[i]
  if type(what) == 'number' then
    effects_to_apply[#effects_to_apply + 1] = i
  elseif what.verb == '2' then
    if redis.call('HEXISTS', KEYS[7], what.letter) == 1 then
      acknowledge({ id }) -- this very letter was written before
    else
      local entry = append(KEYS[6], fields_of(what))
      if type(entry) == 'table' then
        refuse(i, 4)
      else
        redis.call('HSET', KEYS[7], what.letter, entry)
        acknowledge({ id })
      end
    end
  elseif what.verb == '4' then
    local entry = append(KEYS[9], fields_of(what))
    if type(entry) == 'table' then
      refuse(i, 4)
    else
      redis.call('ZADD', KEYS[10], string.format('%.0f', now + what.due_in), entry)
      acknowledge({ id })
    end
  else
    redis.call('XCLAIM', stream, group, PARKED, 0, id, 'JUSTID')
    redis.call('ZADD', due, string.format('%.0f', now + what.due_in), id)
    redis.call('HDEL', marks, id)
    set_note(id, what.note)
  end
end
local applied = {}
for _, i in ipairs(effects_to_apply) do
  local answer = effect(list[rest[i]], rest[i] + 2)
  if not answer or answer == 'in' then applied[#applied + 1] = ids[i] end
  if answer then refuse(i, answer == 'in' and 6 or answer == 'changed' and 8 or answer) end
end
if #applied > 0 then
  record()
  acknowledge(applied)
end
if settled > 0 then redis.call('HINCRBY', KEYS[12], ARGV[8], settled) end -- low.lua finds by it what others trimmed
return reply
