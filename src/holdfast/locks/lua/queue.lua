-- SPDX-License-Identifier: Apache-2.0
-- queue.lua: a lock with a queue, for the scripts that serve one. Put before them; it does nothing by itself.
-- KEYS  none of its own: they come as arguments
-- ARGV  none of its own
-- returns nothing
-- Units are what is shared: one of one for a fair mutex, n of N for permits; a reader takes one of many, a writer all. Whoever
-- waits has a place, and the first in line goes first even if somebody behind it would fit: so nobody starves.
-- Times are this server's. A place is kept for as long as whoever waits comes back in time; a dead one holds up the line
-- until then. Fields of the hash, each with an acquisition behind its letter: u units, p ms a place is kept, e its end,
-- c channel to be told on, t token, s since when it waits or holds, w who.

local function kept(keys, ms)
  for _, key in ipairs(keys) do
    if redis.call('PTTL', key) < ms then redis.call('PEXPIRE', key, text(ms)) end
  end
end

local function forget(about, id)
  redis.call('HDEL', about, 'u' .. id, 'p' .. id, 'e' .. id, 'c' .. id, 't' .. id, 's' .. id, 'w' .. id)
end

-- Ends what has run out, and says how many units are taken. A hold of which it is not known (its record was evicted, or
-- deleted by a person) counts as all of them; its next renewal is refused.
local function taken(holders, about, now)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', holders, '-inf', text(now))) do -- guard: a lease has an end
    redis.call('ZREM', holders, id)
    forget(about, id)
  end
  local units = 0
  for _, id in ipairs(redis.call('ZRANGE', holders, 0, -1)) do
    units = units + (tonumber(redis.call('HGET', about, 'u' .. id)) or math.huge) -- guard: of unknown size
  end
  return units
end

-- Hands over to those who are first in line, by name, for as long as a place is kept: until then they come for it.
local function advance(holders, queue, about, now, word)
  local units = taken(holders, about, now)
  local capacity = tonumber(redis.call('HGET', about, 'capacity') or '0')
  while true do
    local id = redis.call('ZRANGE', queue, 0, 0)[1]
    if not id then return end
    local place = redis.call('HMGET', about, 'u' .. id, 'p' .. id, 'e' .. id, 'c' .. id)
    local wanted = math.min(tonumber(place[1] or '1'), capacity)
    if tonumber(place[3] or '0') <= now then -- guard: a dead one is passed over
      forget(about, id)
    elseif units + wanted > capacity then -- guard: no more than there are
      return
    else
      units = units + wanted
      redis.call('ZADD', holders, text(now + tonumber(place[2])), id)
      kept({ holders, about }, tonumber(place[2]) + 60000) -- guard: it may never come for it
      redis.call(word, place[4], '')
    end
    redis.call('ZREM', queue, id)
  end
end

-- Until when the one before `rank` keeps its place; nil for whoever is first. Those who are late lose theirs.
local function before(queue, about, rank, now)
  while rank > 0 do
    rank = rank - 1
    local id = redis.call('ZRANGE', queue, rank, rank)[1]
    local ends = redis.call('HGET', about, 'e' .. id)
    if tonumber(ends or '0') > now then return ends end -- guard: nobody waits for a dead one
    redis.call('ZREM', queue, id)
    forget(about, id)
  end
end

