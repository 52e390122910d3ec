-- SPDX-License-Identifier: Apache-2.0
-- due.lua: claims parked entries whose time has come, and moves stowed ones that are due to the replay stream.
-- KEYS  1 stream_key  2 due  3 notes  4 leases  5 replay  6 parked  7 parked_due  8 door
-- ARGV  1 group  2 incarnation  3 entries wanted at most
-- returns {now, next due or '', {id, count, fields, note, …}, {missing id, owner, count, …}, restored, stale}
local stream, due, notes = KEYS[1], KEYS[2], KEYS[3]
local group, me, wanted = ARGV[1], ARGV[2], tonumber(ARGV[3])
local PARKED = 'hf.parked'
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local till = string.format('%.0f', now)
local reply = { till, '', {}, {}, 0, 0 }
local lease = redis.call('ZSCORE', KEYS[4], me)
local ids = {}
if lease then ids = redis.call('ZRANGEBYSCORE', due, '-inf', till, 'LIMIT', 0, wanted) end
local stowed = {}
if lease then stowed = redis.call('ZRANGEBYSCORE', KEYS[7], '-inf', till, 'LIMIT', 0, wanted) end
if #ids + #stowed > 0 then redis.call('DEL', KEYS[8]) end -- a first write that is allowed at maxmemory

-- A group that was made anew at its low-water mark reads what it had parked again, as new.
local read_up_to
local function yet_to_be_read(id)
  if not read_up_to then
    for _, info in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
      local g = {}
      for i = 1, #info, 2 do g[info[i]] = info[i + 1] end
      if g.name == group then read_up_to = g['last-delivered-id'] end
    end
  end
  return below(read_up_to, id)
end

for _, id in ipairs(ids) do
  local row = redis.call('XPENDING', stream, group, id, id, 1)[1]
  local payload = redis.call('XRANGE', stream, id, id)[1]
  if row and row[2] ~= PARKED then
    redis.call('ZREM', due, id) -- somebody claimed it early; it is theirs, and in their pending list
    reply[6] = reply[6] + 1
  elseif not payload then
    redis.call('ZREM', due, id)
    if row then
      local missing = reply[4]
      missing[#missing + 1], missing[#missing + 2], missing[#missing + 3] = id, PARKED, row[4]
    else
      redis.call('HDEL', notes, id)
      reply[6] = reply[6] + 1
    end
  elseif not row and yet_to_be_read(id) then -- guard: it will come by itself, and must not come twice
    redis.call('ZREM', due, id)
    reply[6] = reply[6] + 1
  else
    -- Due and in the stream, but not pending: its record was dropped by force (a deleted consumer).
    local claim = { 'XCLAIM', stream, group, me, 0, id }
    if not row then
      claim[#claim + 1] = 'FORCE' -- guard: restore
      reply[5] = reply[5] + 1
    end
    redis.call(unpack(claim))
    redis.call('ZREM', due, id)
    local count = redis.call('XPENDING', stream, group, id, id, 1)[1][4]
    local out = reply[3]
    local n = #out
    out[n + 1], out[n + 2], out[n + 3], out[n + 4] = id, count, payload[2], redis.call('HGET', notes, id) or ''
  end
end
for _, id in ipairs(stowed) do
  local entry = redis.call('XRANGE', KEYS[6], id, id)[1]
  if entry then redis.call('XADD', KEYS[5], '*', unpack(entry[2])) end
  redis.call('XDEL', KEYS[6], id)
  redis.call('ZREM', KEYS[7], id)
end
local nearest = ''
for _, key in ipairs({ due, KEYS[7] }) do
  local score = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')[2]
  if score and (nearest == '' or tonumber(score) < tonumber(nearest)) then nearest = score end
end
reply[2] = nearest
return reply
