-- SPDX-License-Identifier: Apache-2.0
-- ids.lua: entry ids as pairs of numbers. No script of its own: it stands before those that compare ids or count from one.
-- KEYS  of the script behind it
-- ARGV  of the script behind it
-- returns nothing; `below(a, b)` compares, `before(id)` and `after(id)` give its neighbours
-- Ids stay text throughout. As text -100 sorts before -99, so length decides first; and Lua's numbers are exact up to 2^53
-- only, while the second half of an id may reach 2^64: counting on in them would miss ids, or pass over some.
local MAX_SEQ = '18446744073709551615'
local function split(id)
  local a, b = string.match(id, '^(%d+)%-(%d+)$')
  return a, b
end
local function below(a, b)
  local a1, a2 = split(a)
  local b1, b2 = split(b)
  if #a1 ~= #b1 then return #a1 < #b1 end
  if a1 ~= b1 then return a1 < b1 end
  if #a2 ~= #b2 then return #a2 < #b2 end
  return a2 < b2
end
local function plus_one(digits)
  local i = #digits
  while i > 0 and string.sub(digits, i, i) == '9' do i = i - 1 end
  local head = i == 0 and '1' or string.sub(digits, 1, i - 1) .. string.char(string.byte(digits, i) + 1)
  return head .. string.rep('0', #digits - i)
end
local function minus_one(digits) -- of a number above 0
  local i = #digits
  while string.sub(digits, i, i) == '0' do i = i - 1 end
  local head = string.sub(digits, 1, i - 1) .. string.char(string.byte(digits, i) - 1)
  return string.match(head .. string.rep('9', #digits - i), '^0*(%d+)$')
end
local function before(id)
  local a, b = split(id)
  if b ~= '0' then return a .. '-' .. minus_one(b) end -- guard: exact
  return minus_one(a) .. '-' .. MAX_SEQ
end
local function after(id)
  local a, b = split(id)
  if b == MAX_SEQ then return plus_one(a) .. '-0' end
  return a .. '-' .. plus_one(b) -- guard: exact
end
