-- SPDX-License-Identifier: Apache-2.0
-- token.lua: fencing tokens, for the scripts that grant. Put before them; it does nothing by itself.
-- KEYS  none of its own: they come as arguments
-- ARGV  none of its own
-- returns nothing
local function server_us()
  local clock = redis.call('TIME')
  return clock[1] * 1000000 + clock[2]
end
local function in_ms(us) return math.floor(us / 1000) end
local function text(number) return string.format('%.0f', number) end

-- What is added to this server's clock. One that was not the last one may have lost grants, and its clock may be behind:
-- it begins a minute ahead, as long as the record of the last one has reached it.
local function offset_us(clock_key, run_id)
  local seen = redis.call('HMGET', clock_key, 'run_id', 'offset')
  local offset = tonumber(seen[2] or '0')
  if seen[1] ~= run_id then
    if seen[1] then offset = offset + 60000000 end -- guard: another server
    redis.call('HSET', clock_key, 'run_id', run_id, 'offset', text(offset))
  end
  return offset
end

-- A token larger than every one given before under one of some keys (from `first` on, each `step`th), and than the largest
-- that whoever asks has seen.
local function new_token(keys, first, step, now_us, offset, seen)
  local last = tonumber(seen)
  for n = first, #keys, step do last = math.max(last, tonumber(redis.call('GET', keys[n]) or '0')) end
  local token = text(math.max(last + 1, now_us + offset)) -- guard: tokens only grow
  for n = first, #keys, step do redis.call('SET', keys[n], token) end
  return token
end

