-- SPDX-License-Identifier: Apache-2.0
-- guarded.lua: compares a fencing token with the last one, and carries out writes if no later holder has been here.
-- KEYS  1 lock_fence, and behind it each key that the writes touch
-- ARGV  1 token  2 acquisition
--       3 MessagePack of the writes: how many, and for each its number of words and its words
-- returns {1, {answer, …}}; {0, stored token, stored acquisition} when it was refused; or {-1, how many writes are in,
--       error} when the server refused a write
-- Tokens are compared as decimal text: numbers are exact only up to 2^53 here.
local function above(a, b)
  if #a ~= #b then return #a > #b end
  return a > b
end
local stored = redis.call('HMGET', KEYS[1], 'token', 'acquisition')
local token, acquisition = stored[1], stored[2]
if token and (above(token, ARGV[1]) or (token == ARGV[1] and acquisition ~= ARGV[2])) then -- guard: compared with the last
  return { 0, token, acquisition }
end
if token ~= ARGV[1] then redis.call('HSET', KEYS[1], 'token', ARGV[1], 'acquisition', ARGV[2]) end
local list, answers, at = cmsgpack.unpack(ARGV[3]), {}, 2
for n = 1, list[1] do
  local answer = redis.pcall(unpack(list, at + 1, at + list[at]))
  if type(answer) == 'table' and answer.err then return { -1, n - 1, answer.err } end
  answers[n] = answer
  at = at + list[at] + 1
end
return { 1, answers }
