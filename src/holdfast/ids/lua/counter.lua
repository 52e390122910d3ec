-- SPDX-License-Identifier: Apache-2.0
-- counter.lua: what the scripts of counters share. Put before them; it does nothing by itself.
-- KEYS  none of its own: they come as arguments
-- ARGV  none of its own
-- returns nothing
-- The rules are those of ids/counters/ceiling.py and dated.py.
local function text(number) return string.format('%.0f', number) end

-- Which server this is, in which of its lives: the replication id is another one after each promotion and each restart.
-- The run id is not enough: a master that was demoted, lost numbers and is promoted again has kept it.
local function this_server()
  return string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
end

-- A number of a hash; 0 where there is none.
local function count_of(value) return tonumber(value or '0') end

-- The present month, day, hour or minute of UTC, as digits.
local function date_now(unit)
  local seconds = tonumber(redis.call('TIME')[1])
  local days = math.floor(seconds / 86400)
  local of_day = seconds - days * 86400
  local since = days + 719468 -- counted from 0000-03-01, in eras of 400 years: https://howardhinnant.github.io/date_algorithms
  local era = math.floor(since / 146097)
  local in_era = since - era * 146097
  local year = math.floor((in_era - math.floor(in_era / 1460) + math.floor(in_era / 36524) - math.floor(in_era / 146096)) / 365)
  local in_year = in_era - (365 * year + math.floor(year / 4) - math.floor(year / 100))
  local month = math.floor((5 * in_year + 2) / 153)
  local day = in_year - math.floor((153 * month + 2) / 5) + 1
  if month < 10 then month = month + 3 else month = month - 9 end
  year = year + era * 400
  if month <= 2 then year = year + 1 end
  local date = year * 100 + month
  if unit == 'month' then return date end
  date = date * 100 + day
  if unit == 'day' then return date end
  date = date * 100 + math.floor(of_day / 3600)
  if unit == 'hour' then return date end
  return date * 100 + math.floor(of_day % 3600 / 60)
end

-- The numbers that may be given after `last`: those above the first result, up to the second one.
local function span(last, unit, room)
  if unit == '' then return last, 9007199254740991 end
  local date = math.max(date_now(unit), math.floor(last / room)) -- guard: never an earlier date than the newest one used
  return math.max(last, date * room), date * room + room - 1
end

-- With an expiry, the key goes so long after its last use, in the same step.
local function used(key, keep_ms)
  if keep_ms ~= '0' then redis.call('PEXPIRE', key, keep_ms) end
end
