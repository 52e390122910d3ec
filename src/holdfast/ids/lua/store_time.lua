-- SPDX-License-Identifier: Apache-2.0
-- store_time.lua: a time that never goes back, for the scripts of worker ids. Put before them; it does nothing by itself.
-- KEYS  none of its own: they come as arguments
-- ARGV  none of its own
-- returns nothing
local function text(number) return string.format('%.0f', number) end

-- The server's time and what was added to it so far. A server whose clock has gone back, or that is another one and
-- behind, adds what is missing: an empty window would be given otherwise. Another server may have lost grants: windows
-- that are new begin behind the longest one that can have been given, counted from when it was met, with a second for
-- clocks that differ. Who it is, it says itself: a connection may have been opened anew since the client asked. Returns
-- now, barrier, and until when it was no matter of this server who had which window.
local margin_ms = 1000
local function store_time(clock_key, said_run_id, lease_ms)
  local info = redis.pcall('INFO', 'server')
  local run_id = type(info) == 'string' and string.match(info, 'run_id:(%w+)') or said_run_id -- guard: asked of itself
  local clock = redis.call('TIME')
  local server = clock[1] * 1000 + math.floor(clock[2] / 1000)
  local seen = redis.call('HMGET', clock_key, 'run_id', 'offset', 'latest', 'longest', 'barrier', 'met')
  local offset, latest = tonumber(seen[2] or '0'), tonumber(seen[3] or '0')
  local longest = math.max(tonumber(seen[4] or '0'), lease_ms)
  local barrier, met = tonumber(seen[5] or '0'), tonumber(seen[6] or '0')
  if run_id == '' then run_id = seen[1] or '' end -- who may not ask says nothing
  if server + offset < latest then offset = latest - server end -- guard: an offset that only grows
  local now = server + offset
  if seen[1] and seen[1] ~= run_id then -- guard: another server
    met = now + margin_ms
    barrier = math.max(met, barrier) + longest + 1 -- guard: behind the barrier before
  end
  redis.call('HSET', clock_key, 'run_id', run_id, 'offset', text(offset), 'latest', text(now), 'longest', text(longest),
    'barrier', text(barrier), 'met', text(met))
  return now, barrier, met
end

