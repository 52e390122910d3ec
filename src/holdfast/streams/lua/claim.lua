-- SPDX-License-Identifier: Apache-2.0
-- claim.lua: gives pending entries to another consumer, or back to the group, by hand.
-- KEYS  1 stream_key  2 leases  3 due  4 door
-- ARGV  1 group  2 consumer ('hf.parked' = back to the group, due now)  3 '1' to take from live consumers too
--       4 '1' to make entries pending that are in the stream and not pending (force)  5 '1' to leave the counter (justid)
--       6 counter to set ('' = as XCLAIM does)  7 '1' to only look  8 least idle ms  9… ids
-- returns {id, what became of it, owner before, count before, idle before, …}
--       what: claimed, live (its owner has a lease), fresh (idle for less), missing (payload gone: a consumer buries it),
--       settled (not pending)
local stream, group, to = KEYS[1], ARGV[1], ARGV[2]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
redis.call('XPENDING', stream, group) -- NOGROUP is raised here
local reply, opened = {}, false
for i = 9, #ARGV do
  local id = ARGV[i]
  local row = redis.call('XPENDING', stream, group, id, id, 1)[1]
  local owner, idle, count = '', 0, 0
  if row then owner, idle, count = row[2], row[3], row[4] end
  local till = row and redis.call('ZSCORE', KEYS[2], owner)
  local what = 'claimed'
  if not row and ARGV[4] ~= '1' then
    what = 'settled'
  elseif #redis.call('XRANGE', stream, id, id) == 0 then
    what = row and 'missing' or 'settled' -- guard: claiming what has no payload erases it
  elseif till and tonumber(till) >= now and ARGV[3] ~= '1' then
    what = 'live' -- guard: live work
  elseif row and idle < tonumber(ARGV[8]) then
    what = 'fresh'
  end
  if what == 'claimed' and ARGV[7] ~= '1' then
    if not opened then
      redis.call('DEL', KEYS[4]) -- a first write that is allowed at maxmemory
      opened = true
    end
    local claim = { 'XCLAIM', stream, group, to, 0, id }
    if ARGV[6] ~= '' then claim[#claim + 1], claim[#claim + 2] = 'RETRYCOUNT', ARGV[6] end
    if ARGV[4] == '1' then claim[#claim + 1] = 'FORCE' end
    if ARGV[5] == '1' then claim[#claim + 1] = 'JUSTID' end
    redis.call(unpack(claim))
    if to == 'hf.parked' then
      redis.call('ZADD', KEYS[3], string.format('%.0f', now), id)
    else
      redis.call('ZREM', KEYS[3], id)
    end
  end
  for _, part in ipairs({ id, what, owner, count, idle }) do reply[#reply + 1] = part end
end
return reply
