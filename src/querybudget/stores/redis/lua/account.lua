-- An account is one string: a head, then records of a name and what it holds. Records are windows
-- by the key of their quota; the nameless one is the profile. What a call does not touch stays
-- packed. A later version that changes the layout writes another number first.

local HEAD = '>Bc6I7I7I4I7'
local RECORD = '>BI3'
local VERSION = 1

-- gen    six bytes that tell an account from another that had its key before it was forgotten
-- since  when it was opened
-- til    nothing in its windows or profile matters from then on
-- open   calls not settled
-- held   the last of them is forgotten then
local function new_account(gen, now)
  return { gen = gen, since = now, til = now, open = 0, held = 0, records = {} }
end

local function read_account(blob)
  local version, gen, since, til, open, held, at = unpack(HEAD, blob)
  if version ~= VERSION then
    error('querybudget: an account of layout ' .. version .. ', which a later version wrote')
  end
  local records, size = {}, #blob
  while at <= size do
    local name, length
    name, length, at = unpack(RECORD, blob, at)
    local from = at + name
    records[sub(blob, at, from - 1)] = sub(blob, from, from + length - 1)
    at = from + length
  end
  return { gen = gen, since = since, til = til, open = open, held = held, records = records }
end

local function write_account(key, account, now)
  local til = min(account.til, MOST)
  local parts = {
    pack(HEAD, VERSION, account.gen, account.since, til, account.open, account.held),
  }
  local n = 1
  for name, record in pairs(account.records) do
    parts[n + 1] = pack(RECORD, #name, #record)
    parts[n + 2] = name
    parts[n + 3] = record
    n = n + 3
  end
  if account.open > 0 and account.held > til then
    til = account.held
  end
  -- A second more, so that nothing goes before its time.
  redis.call('SET', key, table.concat(parts), 'PX', max(0, floor((til - now) / 1000)) + 1000)
end

-- What a line says of its quota: kind, size (the burst of a GCRA quota, else the limit), window,
-- slot, rate, the key of its record, and where in `text` what its kind adds begins.
local function read_quota(text)
  local kind, size, window, slot, units, time, length, at = unpack('>c1I7I7I7I7I7B', text)
  return {
    kind = kind,
    size = size,
    window = window,
    slot = slot,
    units = units,
    time = time,
    key = sub(text, at, at + length - 1),
    text = text,
    more = at + length,
  }
end
