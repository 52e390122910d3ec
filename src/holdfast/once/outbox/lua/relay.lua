-- SPDX-License-Identifier: Apache-2.0
-- relay.lua: one step of a relay on one stream: put up its fence, send rows of the outbox, or forget their marks.
-- KEYS  1 stream_key  2 relayed
-- ARGV  1 outbox  2 epoch of the relay's term  3 name of that term  4 'enter', 'send' or 'forget'
--       enter   nothing more
--       send    for each row: its mark, its fields as netstrings
--       forget  marks of rows that have left their table
-- returns {1, …} done: of enter the marks that are there; of send how many rows were written now and how many before
--         {0, epoch} a later term has been here: nothing was done
--         {2} the fence of this term is not standing (any more): nothing was done, enter first
-- A field `<outbox>` of the hash is the fence, `<outbox>:<row>` a mark. Why this keeps a row from coming twice is told in
-- relay.py. All checks come before the first write; each XADD is followed by its mark, so a refusal in between leaves
-- whole rows.
local outbox, mine, term, step = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
local stored, holder = string.match(redis.call('HGET', KEYS[2], outbox) or '', '^(%d+) (.*)$')
local other = stored and (tonumber(stored) > mine or (tonumber(stored) == mine and holder ~= term))
if other then return { 0, stored } end -- guard: epoch

if step == 'enter' then
  redis.call('HSET', KEYS[2], outbox, ARGV[2] .. ' ' .. term)
  local reply, beginning = { 1 }, outbox .. ':'
  for _, field in ipairs(redis.call('HKEYS', KEYS[2])) do
    if string.sub(field, 1, #beginning) == beginning then reply[#reply + 1] = field end
  end
  return reply
end
if holder ~= term then return { 2 } end -- guard: fence stands. A failover may have lost it

if step == 'forget' then
  for i = 5, #ARGV do redis.call('HDEL', KEYS[2], ARGV[i]) end
  return { 1 }
end

local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'none' and kind ~= 'stream' then return redis.error_reply('WRONGTYPE the key holds a ' .. kind) end
-- guard: written anew each time. A WAIT behind this call counts the replicas of this connection's last write, and there
-- must be one even when every row was sent before.
redis.call('HSET', KEYS[2], outbox, ARGV[2] .. ' ' .. term)
local written, before = 0, 0
for i = 5, #ARGV, 2 do
  if redis.call('HEXISTS', KEYS[2], ARGV[i]) == 1 then -- guard: each row once
    before = before + 1
  else
    redis.call('HSET', KEYS[2], ARGV[i], redis.call('XADD', KEYS[1], '*', unpack(fields_of(ARGV[i + 1]))))
    written = written + 1
  end
end
return { 1, written, before }
