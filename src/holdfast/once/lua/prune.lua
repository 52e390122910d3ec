-- SPDX-License-Identifier: Apache-2.0
-- prune.lua: removes records of effects whose messages can no longer come, and counts what there is.
-- KEYS  1 done  2 results  3 half_done  4 begun  5 leases  6 low  7 replay  8 parked  9 later
-- ARGV  1 ms that a record is kept at least  2 records removed at most  3 'prune' or 'look'
-- returns {removed, done, half done, begun, begun by consumers that are dead, ms age of the oldest of these, 1 if more may go}
-- An entry is applied after it was published, so a record older than the group's low-water mark belongs to an entry that is
-- settled. Entries replayed, or parked for long, have ids of their own, and are older than these.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local edge = now - tonumber(ARGV[1])
local function not_after(id)
  local ms = id and tonumber(string.match(id, '^(%d+)%-'))
  if ms and ms < edge then edge = ms end
end
not_after(redis.call('HGET', KEYS[6], 'id') or '0-0') -- guard: low-water mark
local waits = redis.call('XLEN', KEYS[7]) + redis.call('XLEN', KEYS[8]) + redis.call('ZCARD', KEYS[9])
local removed, more = 0, 0
if ARGV[3] == 'prune' and waits == 0 then -- guard: what was replayed or parked is older than its id
  local old = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '(' .. string.format('%.0f', edge), 'LIMIT', 0, ARGV[2])
  if #old > 0 then
    removed = redis.call('ZREM', KEYS[1], unpack(old))
    redis.call('HDEL', KEYS[2], unpack(old))
  end
  more = #old == tonumber(ARGV[2]) and 1 or 0
end
local doubts, oldest = 0, 0
local marks = redis.call('HLEN', KEYS[4])
if marks > 0 and marks <= 10000 then
  for at, found in ipairs(redis.call('HVALS', KEYS[4])) do
    local who, since = string.match(found, '^(%S+) (%d+)$')
    if string.sub(who, 1, 1) ~= '-' and not redis.call('ZSCORE', KEYS[5], who) then
      doubts = doubts + 1
      oldest = math.max(oldest, now - tonumber(since))
    end
  end
end
return { removed, redis.call('ZCARD', KEYS[1]), redis.call('HLEN', KEYS[3]), marks, doubts, oldest, more }
