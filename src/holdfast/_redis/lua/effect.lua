-- SPDX-License-Identifier: Apache-2.0
-- effect.lua: applies effects, each once. No script of its own: it stands before those that apply effects.
-- KEYS  of the script behind it
-- ARGV  of the script behind it, which unpacks an argument of MessagePack into `list`. The fields of an effect there are
--       result ('' = none), number of reads, for each: digest of its answer, number of words, words; number of writes, for
--       each: number of words, words
-- returns nothing; `effects(done, half_done, results, begun, now, identities, list)` gives a function of (identity, where its
--       fields begin in list) that answers nil when the effect is in now, 'in' when it was in before, 'changed' when a read
--       would be answered otherwise than it was, or 'writes in|of so many|error' when a write was refused; and a function
--       that records what has gone in, to be called at the end
-- A script is no transaction: a write that is refused leaves those before it. So how far it came is remembered beside the
-- list, and whoever comes next goes on behind it, with that list and not with its own.
local function effects(done, half_done, results, begun, now, identities, list)
  local known, scored, said = {}, {}, {} -- what is in; scores and members for `done`; fields and values for `results`
  local half, marks = redis.call('HLEN', half_done) > 0, redis.call('HLEN', begun) > 0
  redis.call('HLEN', results) -- a key of another type raises here, before anything is written
  for from = 1, #identities, 1000 do
    local scores = redis.call('ZMSCORE', done, unpack(identities, from, math.min(from + 999, #identities)))
    for n, score in ipairs(scores) do known[identities[from + n - 1]] = score and true or nil end -- guard: done-record
  end
  local function words_at(from)
    local words = {}
    for w = from + 1, from + list[from] do words[#words + 1] = list[w] end
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
    if list[first + 1] == 0 then return from end
    for _ = 1, list[first + 1] do
      local digest, words, after = list[from], words_at(from + 1)
      same = same and redis.sha1hex(told(redis.pcall(unpack(words)))) == digest -- guard: reads
      from = after
    end
    return same and from
  end
  local function stop(identity, came, writes, result, answer)
    local head = came .. '|' .. #writes .. '|' .. string.gsub(answer.err, '[\r\n]', ' ')
    redis.call('HSET', half_done, identity, head .. '\n' .. cmsgpack.pack(writes, result))
    half = true
    return head
  end
  local function go_on(identity, found) -- behind the cursor, with what was remembered
    local came, kept = string.match(found, '^(%d+)[^\n]*\n(.*)$')
    local writes, result = cmsgpack.unpack(kept)
    for n = tonumber(came) + 1, #writes do -- guard: cursor
      local answer = redis.pcall(unpack(writes[n]))
      if type(answer) == 'table' and answer.err then return stop(identity, n - 1, writes, result, answer) end
    end
    return nil, result
  end
  local function begin(identity, first)
    local at = unchanged(first)
    if not at then return 'changed' end
    local counted = at
    at = at + 1
    for n = 1, list[counted] do -- straight from list: a table for each command would cost as much as the command
      local last = at + list[at]
      local answer = redis.pcall(unpack(list, at + 1, last))
      if type(answer) == 'table' and answer.err then
        local writes, from = {}, counted + 1
        for w = 1, list[counted] do writes[w], from = words_at(from) end
        return stop(identity, n - 1, writes, list[first], answer)
      end
      at = last + 1
    end
    return nil, list[first]
  end
  local function went_in(identity, result)
    known[identity] = true
    scored[#scored + 1], scored[#scored + 2] = now, identity
    if result ~= '' then said[#said + 1], said[#said + 2] = identity, result end
    if half then redis.call('HDEL', half_done, identity) end
    if marks then redis.call('HDEL', begun, identity) end
  end
  local function record()
    for from = 1, #scored, 2000 do redis.call('ZADD', done, unpack(scored, from, math.min(from + 1999, #scored))) end
    for from = 1, #said, 2000 do redis.call('HSET', results, unpack(said, from, math.min(from + 1999, #said))) end
  end
  local function apply(identity, first)
    if identity ~= '' and known[identity] then return 'in' end
    local found = half and redis.call('HGET', half_done, identity)
    local stopped, result
    if found then stopped, result = go_on(identity, found) else stopped, result = begin(identity, first) end
    if not stopped and identity ~= '' then went_in(identity, result) end
    return stopped
  end
  return apply, record
end
