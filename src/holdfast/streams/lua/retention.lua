-- SPDX-License-Identifier: Apache-2.0
-- retention.lua: removes dead letters beyond a number and an age, oldest first, with their places in the index.
-- KEYS  1 dead  2 letters
-- ARGV  1 letters kept at most (0 = any number)  2 entry id below which letters are too old ('' = no age)
--       3 letters removed at most in this step  4 field of a letter that holds its id
-- returns letters removed
local over = 0
if tonumber(ARGV[1]) > 0 then over = redis.call('XLEN', KEYS[1]) - tonumber(ARGV[1]) end
local entries = {}
if over > 0 then entries = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', math.min(over, tonumber(ARGV[3]))) end
if ARGV[2] ~= '' then
  local old = redis.call('XRANGE', KEYS[1], '-', '(' .. ARGV[2], 'COUNT', ARGV[3])
  if #old > #entries then entries = old end -- both are the oldest ones: the longer list holds the other
end
for _, entry in ipairs(entries) do
  redis.call('XDEL', KEYS[1], entry[1])
  for i = 1, #entry[2], 2 do
    if entry[2][i] == ARGV[4] then
      local letter = entry[2][i + 1]
      if redis.call('HGET', KEYS[2], letter) == entry[1] then redis.call('HDEL', KEYS[2], letter) end
      break
    end
  end
end
return #entries
