-- An account is one string: a head, then records, each a name and its content. Records are windows
-- by the key of their quota, and the profile without a name: its version, which is the id of the call
-- that it observed last, and what only clients can read. `LAST` is for operators: a byte that is 1 once
-- the account is off probation, when its last call was admitted, and that caller's tier. A call leaves
-- packed what it does not change.
-- A version of querybudget that changes the layout writes another version first.

local HEAD = '>Bc6I7I7I4I7'
local RECORD = '>Bc0I3c0'
local VERSION = 1

local LAST = '@'
local NONE, ANY = rep('\0', 12), rep('\255', 12) -- versions of a profile: there is none; whichever

-- gen      six bytes by which an account differs from an earlier one with its key
-- since    when it was opened
-- til      when its windows and its profile stop mattering
-- open     the number of calls that are not settled
-- held     when the last of them is forgotten
-- records  their contents by name
local function read_account(blob)
  local version, gen, since, til, open, held, at = unpack(HEAD, blob)
  if version ~= VERSION then
    error('querybudget: an account of layout ' .. version .. ', which a later version wrote')
  end
  local records, size, name = {}, #blob, nil
  while at <= size do
    local record
    name, record, at = unpack(RECORD, blob, at)
    records[name] = record
  end
  return { gen = gen, since = since, til = til, open = open, held = held, records = records }
end

-- The accounts that a reservation has charged, false for one that is gone or was opened anew; whether
-- there is any; and where the reservation goes on behind their generations.
local function read_charged(keys, owners, kept, from)
  local accounts, known = {}, false
  for n = 1, owners do
    local blob = redis.call('GET', keys[n])
    local account = blob and read_account(blob)
    if account and account.gen ~= sub(kept, from, from + 5) then
      account = nil
    end
    from = from + 6
    accounts[n] = account or false
    known = known or account
  end
  return accounts, known, from
end

-- What stands before a record: its name and its length. A library keeps those that it has made.
local MOST_FRAMES, MOST_LENGTHS = 1024, 4096
local frames, frames_made, lengths = {}, 0, {}

local function frame(name)
  if frames_made >= MOST_FRAMES then
    frames, frames_made = {}, 0
  end
  frames[name], frames_made = char(#name) .. name, frames_made + 1
  return frames[name]
end

local function length(size)
  if size >= MOST_LENGTHS then
    return pack('>I3', size)
  end
  lengths[size] = pack('>I3', size)
  return lengths[size]
end

local parts = {} -- of the account that is written; a table for each would be garbage

-- An account on probation ends `PROBATION` ms after its last call. It stays as long as a call of it
-- is open, and as long as it already had to when its caller was verified.
local function write_account(key, account, now, probation)
  local til, open, held = min(account.til, MOST), account.open, account.held
  local n = 1
  parts[1] = pack(HEAD, VERSION, account.gen, account.since, til, open, held)
  for name, record in pairs(account.records) do
    local size = #record
    parts[n + 1], parts[n + 2] = frames[name] or frame(name), lengths[size] or length(size)
    parts[n + 3] = record
    n = n + 3
  end
  if open > 0 and held > til then
    til = held
  end
  local span = max(0, floor((til - now) / 1000)) + spare
  if probation and span > PROBATION + spare then
    local busy = open > 0 and floor((held - GRACE - now) / 1000) or 0
    span = min(span, max(PROBATION, busy) + spare)
    span = max(span, redis.call('PTTL', key))
  end
  redis.call('PSETEX', key, format('%d', span), concat(parts, '', 1, n))
end
