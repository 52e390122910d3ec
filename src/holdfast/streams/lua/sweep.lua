-- SPDX-License-Identifier: Apache-2.0
-- sweep.lua: finds the dead among a group's consumers, takes over what they held, and says how the group stands.
-- KEYS  1 stream_key  2 leases  3 notes  4 marks  5 due  6 later  7 replay  8 parked_due  9 door
-- ARGV  1 group  2 incarnation  3 lease in ms  4 entries wanted at most (0: look only)
--       5 server ms at the last look ('' = no look yet)  6 ms since then by the client's own clock  7 slack in ms
--       8 '1' if the connection now reaches another server than at the last look  9 foreign idle in ms (0 = leave alone)
--       10 '1' to look closely: consumers too, even when nothing is pending
--       11 '1' from a newcomer: an expired lease is left alone, only who has none is dead
-- returns {now, jumped ms, own pending, group pending, parked, next due or '', length of replay,
--          {dead name, taken, …}, {id, count, fields, note, …}, {missing id, owner, count, …}, {reaped name, …},
--          next later or '', {consumer, pending, idle, has a lease, …}}
-- An expired lease is judged here, in the step that claims, never by what a client saw before.
local stream, leases, notes, marks, due = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local group, me = ARGV[1], ARGV[2]
local lease, wanted = tonumber(ARGV[3]), tonumber(ARGV[4])
local PARKED = 'hf.parked'
local OURS = '^.+%-%d+%-hf%w%w%w%w%w%w%w%w%w%w$'

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local function text(n) return string.format('%.0f', n) end

local summary = redis.call('XPENDING', stream, group) -- NOGROUP is raised here
local pending = summary[1]
local function first_score(key)
  local row = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
  return row[2] or ''
end
local reply = { text(now), '0', 0, pending, 0, '', redis.call('XLEN', KEYS[7]), {}, {}, {}, {}, '', {} }
if redis.call('EXISTS', KEYS[6], KEYS[8]) > 0 then -- one question while nothing waits: idle groups are swept for ever
  reply[6], reply[12] = first_score(KEYS[8]), first_score(KEYS[6])
end

-- Another server, or a clock that went elsewhere than time did: all leases start anew before anybody is judged.
local jumped = 0
if ARGV[5] ~= '' then jumped = now - tonumber(ARGV[5]) - tonumber(ARGV[6]) end
if ARGV[8] == '1' or math.abs(jumped) > tonumber(ARGV[7]) then -- guard: clock
  redis.call('DEL', KEYS[9])
  for _, member in ipairs(redis.call('ZRANGE', leases, 0, -1)) do redis.call('ZADD', leases, text(now + lease), member) end
  reply[2] = text(jumped ~= 0 and jumped or 1)
  wanted = 0
end
if pending == 0 and ARGV[10] ~= '1' then return reply end

local alive = {}
local rows = redis.call('ZRANGE', leases, 0, -1, 'WITHSCORES')
for i = 1, #rows, 2 do alive[rows[i]] = tonumber(rows[i + 1]) end

local opened = false
local function before_write()
  if not opened then
    redis.call('DEL', KEYS[9]) -- a first write that is allowed at maxmemory
    opened = true
  end
end

local function charge(id, owner) -- suspects: a crash is charged only to the entry whose start mark its owner left
  local raw = redis.call('HGET', notes, id)
  local readable, note = pcall(cmsgpack.unpack, raw or '\128')
  if not readable or type(note) ~= 'table' then note = {} end -- guard: it is advice, the pending list is the truth
  if redis.call('HGET', marks, id) == owner then -- guard: start mark
    note.c = (note.c or 0) + 1
    redis.call('HDEL', marks, id)
  end
  note.s = true
  local packed = cmsgpack.pack(note)
  redis.call('HSET', notes, id, packed)
  return packed
end

local function take(owner, idle)
  local taken = 0
  local page = idle > 0 and redis.call('XPENDING', stream, group, 'IDLE', idle, '-', '+', wanted, owner)
      or redis.call('XPENDING', stream, group, '-', '+', wanted, owner)
  for _, row in ipairs(page) do
    local id = row[1]
    local payload = redis.call('XRANGE', stream, id, id)[1] -- guard: read before claiming, a claim may erase it
    if not payload then
      local missing = reply[10]
      missing[#missing + 1], missing[#missing + 2], missing[#missing + 3] = id, owner, row[4]
    else
      before_write()
      redis.call('XCLAIM', stream, group, me, 0, id) -- raises the delivery count: it is another delivery
      local out = reply[9]
      local n = #out
      out[n + 1], out[n + 2], out[n + 3], out[n + 4] = id, row[4] + 1, payload[2], charge(id, owner)
      taken = taken + 1
    end
  end
  wanted = wanted - taken
  return taken
end

local consumers = redis.call('XINFO', 'CONSUMERS', stream, group)
for _, info in ipairs(consumers) do
  local c = {}
  for i = 1, #info, 2 do c[info[i]] = info[i + 1] end
  local till = alive[c.name]
  alive[c.name] = nil
  local seen = reply[13]
  local n = #seen
  seen[n + 1], seen[n + 2], seen[n + 3], seen[n + 4] = c.name, c.pending, c.idle, till and till >= now and 1 or 0
  if c.name == me then
    reply[3] = c.pending
  elseif c.name == PARKED then
    reply[5] = c.pending
  elseif string.find(c.name, OURS) then
    if not till or (till < now and ARGV[11] ~= '1') then -- dead: no lease, or one that has run out
      if wanted > 0 and till then
        before_write()
        redis.call('ZREM', leases, c.name) -- from here on it stays dead
      end
      if c.pending > 0 then
        local taken = wanted > 0 and take(c.name, 0) or 0
        if taken > 0 then
          local dead = reply[8]
          dead[#dead + 1], dead[#dead + 2] = c.name, taken
        end
      elseif wanted > 0 and not (till and till >= now) then
        before_write()
        redis.call('XGROUP', 'DELCONSUMER', stream, group, c.name) -- guard: nothing pending, no lease
        local reaped = reply[11]
        reaped[#reaped + 1] = c.name
      end
    end
  elseif tonumber(ARGV[9]) > 0 and c.pending > 0 and wanted > 0 then
    local taken = take(c.name, tonumber(ARGV[9]))
    if taken > 0 then
      local dead = reply[8]
      dead[#dead + 1], dead[#dead + 2] = c.name, taken
    end
  end
end
if wanted > 0 and ARGV[11] ~= '1' then -- who died before it read anything is known by its lease alone
  for member, till in pairs(alive) do
    if till < now then
      before_write()
      redis.call('ZREM', leases, member)
    end
  end
end
local next_due = first_score(due)
if next_due ~= '' and (reply[6] == '' or tonumber(next_due) < tonumber(reply[6])) then reply[6] = next_due end
return reply
