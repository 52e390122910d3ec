-- SPDX-License-Identifier: Apache-2.0
-- netstrings.lua: reads the fields of an entry back. No script of its own: it stands before those that write entries.
-- KEYS  of the script behind it
-- ARGV  of the script behind it
-- returns nothing; `fields_of(raw)` gives the parts that netstrings.py has joined
local function fields_of(raw)
  local fields, at = {}, 1
  while at <= #raw do
    local colon = string.find(raw, ':', at, true)
    local length = tonumber(string.sub(raw, at, colon - 1))
    fields[#fields + 1] = string.sub(raw, colon + 1, colon + length)
    at = colon + length + 1
  end
  return fields
end
