-- SPDX-License-Identifier: Apache-2.0
-- effect.lua: applies effects, each once. No script of its own: it stands before those that apply effects.
-- KEYS  of the script behind it
-- ARGV  of the script behind it; the fields of an effect are result ('' = none), number of reads, for each: digest of its
--       answer, number of words, words; number of writes, for each: number of words, words
-- returns nothing; `effects(done, half_done, results, begun, now)` gives a function of (identity, where its fields begin in
--       ARGV) that answers nil when the effect is in now, 'in' when it was in before, 'changed' when a read would be
--       answered otherwise than it was, or 'writes in|of so many|error' when a write was refused
-- A script is no transaction: a write that is refused leaves those before it. So how far it came is remembered beside the
-- list, and whoever comes next goes on behind it, with that list and not with its own.
local function effects(done, half_done, results, begun, now)
  local in_now, half, marks = {}, redis.call('EXISTS', half_done) == 1, redis.call('EXISTS', begun) == 1
  local function words_at(from)
    local words = {}
    for w = from + 1, from + tonumber(ARGV[from]) do words[#words + 1] = ARGV[w] end
    return words, from + 1 + #words
  end
  local function told(answer) -- the same on both sides: _redis/effect.py
    if type(answer) == 'table' then
      if answer.err then return '-' end
      if answer.ok then return '$' .. #answer.ok .. ':' .. answer.ok end
      local parts = { '*' .. #answer }
      for n, part in ipairs(answer) do parts[n + 1] = told(part) end
      return table.concat(parts)
    end
    if type(answer) == 'number' then return ':' .. string.format('%.0f', answer) end
    if not answer then return '_' end
    return '$' .. #answer .. ':' .. answer
  end
  local function unchanged(first) -- where the writes begin; nothing when a read would be answered otherwise now
    local from, same = first + 2, true
    for _ = 1, tonumber(ARGV[first + 1]) do
      local digest, words, after = ARGV[from], words_at(from + 1)
      same = same and redis.sha1hex(told(redis.pcall(unpack(words)))) == digest -- guard: reads
      from = after
    end
    return same and from
  end
  local function kept(identity)
    local found = half and redis.call('HGET', half_done, identity)
    if not found then return nil end
    local came, list = string.match(found, '^(%d+)[^\n]*\n(.*)$')
    local writes, result = cmsgpack.unpack(list)
    return writes, tonumber(came), result
  end
  local function fresh(first)
    local from = unchanged(first)
    if not from then return nil end
    local writes, count = {}, tonumber(ARGV[from])
    from = from + 1
    for n = 1, count do writes[n], from = words_at(from) end
    return writes, 0, ARGV[first]
  end
  local function record(identity, result)
    in_now[identity] = true
    redis.call('ZADD', done, now, identity)
    if result ~= '' then redis.call('HSET', results, identity, result) end
    if half then redis.call('HDEL', half_done, identity) end
    if marks then redis.call('HDEL', begun, identity) end
  end
  return function(identity, first)
    if identity ~= '' and (in_now[identity] or redis.call('ZSCORE', done, identity)) then return 'in' end -- guard: done-record
    local writes, came, result = kept(identity)
    if not writes then writes, came, result = fresh(first) end
    if not writes then return 'changed' end
    for n = came + 1, #writes do -- guard: cursor
      local answer = redis.pcall(unpack(writes[n]))
      if type(answer) == 'table' and answer.err then
        local head = (n - 1) .. '|' .. #writes .. '|' .. string.gsub(answer.err, '[\r\n]', ' ')
        redis.call('HSET', half_done, identity, head .. '\n' .. cmsgpack.pack(writes, result))
        return head
      end
    end
    if identity ~= '' then record(identity, result) end
    return nil
  end
end
