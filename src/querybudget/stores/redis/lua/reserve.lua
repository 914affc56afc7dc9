-- Charge every line of a call, or none: querybudget.ledger.reserve as one script.
--
-- KEYS  the accounts, those of the lines first, then the reservation
-- ARGV  1  now (0: the server's time), hold, price, number of lines, number of accounts that have
--          lines, id, its short name, tier; for each line: the number of its account, 1 for shadow or 2 to be
--          left uncharged, amount and minimum, both priced; then the numbers of the accounts on
--          probation, a byte each
--       2  of a call that profiles observe, what it was decided on, and what they are now: for each
--          account the version of its profile (zeros: it has none; ANY: whichever) and its new profile
--          (empty: as it is); then for each line of buckets its number from 1, and the least and the
--          most that may be left on it
--       3… the quota of each line
--
-- Returns one string that starts with
--   A  admitted: now; for each line what is held and left, and µs until nothing is used
-- or a list whose first element starts with
--   F  admitted, and the client has to say more than A can, for instance because a shadow line refuses:
--      now, the reservation
--   R  refused; nothing is changed
--   S  not what the call was decided on; nothing is changed
--      Both followed by now. The list has the accounts as they were found.
--   D  reserved before with this id: now, the reservation; then the accounts as they are
--   C  the list of a calendar's periods is too short: now, a moment that it has to reach, and the
--      number of periods from there on
--
-- This runs for every call, so it is one piece: each call creates a script's functions again, which
-- costs more for each local that they refer to.

local call, owners, reservation = ARGV[1], #KEYS - 1, KEYS[#KEYS]
local now, hold, price, count, charged, id, gen, tier, first = unpack('>I8I8I8BBc12c6Bc0', call)
if now == 0 then
  local time = redis.call('TIME')
  now = time[1] * MICRO + time[2]
else
  SPARE = SPARE_BY_CLIENT
end

local blobs, accounts = {}, {}
for n = 1, owners do
  blobs[n] = redis.call('GET', KEYS[n]) or ''
end

local function full(kind, more)
  return { kind .. pack('>I8', now) .. (more or ''), unpack_table(blobs) }
end

local versions, profiles, ranges
if ARGV[2] ~= '' then
  local more, place = ARGV[2], 1
  versions, profiles, ranges = {}, {}, {}
  for n = 1, owners do
    versions[n], profiles[n], place = unpack('>c12I3c0', more, place)
  end
  while place <= #more do
    local n, least, most
    n, least, most, place = unpack('>Bi8i8', more, place)
    ranges[n] = { least, most }
  end
end

local expires = now + hold
local without_shadow, unsure, held, answer = false, false, nil, nil
local on_probation = sub(call, first + 18 * count)
repeat
  -- Accounts are changed line by line, and written only if all lines fit. If a shadow line does not,
  -- they are read again, and shadow lines are left uncharged.
  for n = 1, owners do
    local blob = blobs[n]
    accounts[n] = blob ~= '' and read_account(blob)
      or { gen = gen, since = now, til = now, open = 0, held = 0, records = {} }
  end
  local refused, again, at = nil, false, first
  for n = 1, versions and owners or 0 do
    local profile = accounts[n].records['']
    if versions[n] ~= ANY and versions[n] ~= (profile and sub(profile, 1, 12) or NONE) then
      refused = 'S'
    end
  end
  held, answer = '', ''
  for n = 1, count do
    local owner, shadow, amount, minimum
    owner, shadow, amount, minimum, at = unpack('>BBI8i8', call, at)
    local text = ARGV[n + 2]
    local kind, size, window, slot, key, more = unpack(QUOTA, text)
    local account = accounts[owner]
    local record = account.records[key]
    local uncharged = shadow == 2 or without_shadow and shadow == 1
    local room, reset, til = 0, 0, now

    if kind == 's' then
      -- Sliding: total, debt, due, then pairs of a time and an amount, oldest first.
      local sum, debt, due, marks = 0, 0, 0, ''
      if record then
        sum, debt, due = unpack('>I7I7I7', record)
        local from, last = 22, #record
        while from < last do
          local time, gone = unpack('>I7I7', record, from)
          if time + window > now then
            break
          end
          sum, from = sum - gone, from + 14
        end
        marks = sub(record, from)
        if debt > 0 and due <= now then
          debt = 0
        end
      end
      room = size - sum - debt
      local range = ranges and ranges[n]
      if range and (room < range[1] or room > range[2]) then
        refused = 'S'
      end
      amount = min(amount, max(room, 0))
      if amount > 0 then
        local length, newest, before = #marks, 0, 0
        if length > 0 then
          newest, before = unpack('>I7I7', marks, length - 13)
        end
        if length > 0 and now < newest + slot - newest % slot then
          til = max(now, newest)
          marks = sub(marks, 1, length - 14) .. pack('>I7I7', til, before + amount)
        else
          til = now
          marks = marks .. pack('>I7I7', now, amount)
        end
        til = max(til + window, debt > 0 and due or 0)
        reset = til - now
      else
        if #marks > 0 then
          til = unpack('>I7', marks, #marks - 13) + window
        end
        til = max(til, debt > 0 and due or 0)
        reset = til - now
      end
      record = pack('>I7I7I7', sum + amount, debt, due) .. marks

    elseif kind == 'l' then
      -- GCRA: the level, its fraction, and their time. The rate is `window` units in `slot` µs.
      local level, part, as_of = 0, 0, 0
      if record then
        level, part, as_of = unpack('>I7I7I7', record)
      end
      if now > as_of then
        if level > 0 or part > 0 then
          level, part = leaked(level, part, now - as_of, window, slot)
        end
        as_of = now
      end
      room = size - level - (part > 0 and 1 or 0)
      amount = min(amount, room)
      level = level + amount
      local whole, rest = divided(level, slot, window)
      reset = min(as_of - now + whole + ceil((rest + part) / window), MOST)
      til = now + reset
      record = pack('>I7I7I7', level, part, as_of)

    elseif kind == 'p' then
      -- Calendar: the start of the period, and what is used.
      local quota = { size = size, text = text, more = more }
      local state = open_period(quota, record, now)
      if state.stale then
        return full('C', pack('>I8I8', state.stale, state.owed))
      end
      room = state.room
      amount = min(amount, room)
      state.used = state.used + amount
      reset = period_reset(quota, state, now)
      unsure = unsure or reset < 0 and not uncharged
      til = period_til(quota, window, state, now)
      record = pack('>I7I7', state.start, state.used)

    else
      -- Leases: an id of 12 bytes and when it expires, the next to expire first.
      local leases, from = record or '', 1
      while from < #leases and unpack('>I7', leases, from + 12) <= now do
        from = from + 19
      end
      leases = sub(leases, from)
      room = size - #leases / 19 * MICRO
      local to = #leases + 1
      while to > 1 and unpack('>I7', leases, to - 7) > expires do
        to = to - 19
      end
      record = sub(leases, 1, to - 1) .. id .. pack('>I7', expires) .. sub(leases, to)
      reset, til = MICRO, unpack('>I7', record, #record - 6)
    end

    if room < minimum then
      refused = refused or shadow == 0 and 'R' or nil
      again = again or shadow == 1 and not without_shadow
    end
    if uncharged then
      amount, room = -1, -1
    else
      account.records[key] = record
      if til > account.til then
        account.til = til
      end
    end
    held = held .. pack('>i8', amount)
    answer = answer .. pack('>i8i8i8', amount, room - amount, reset)
  end
  if refused then
    local before = redis.call('GET', reservation)
    return before and full('D', before) or full(refused)
  end
  without_shadow = without_shadow or again
until not again

-- All lines fit. A second request with the same id finds this reservation.
local forgotten = expires + GRACE
local gens = accounts[1].gen
for n = 2, charged do
  gens = gens .. accounts[n].gen
end
local kept = pack('>I8I8I8I8', forgotten, now, expires, price) .. gens .. held
local span = floor((hold + GRACE) / 1000) + 1000
if not redis.call('SET', reservation, kept, 'NX', 'PX', span) then
  return full('D', redis.call('GET', reservation))
end
local last = pack('>I7', now) .. tier
for n = 1, owners do
  local account, profile = accounts[n], profiles and profiles[n] or ''
  if n <= charged then
    account.open = account.open + 1
    account.held = max(account.held, forgotten)
  end
  if profile ~= '' then
    account.records[''] = id .. profile
    account.til = max(account.til, now + LIFETIME)
  end
  if n <= charged or profile ~= '' then
    local probation, before = find(on_probation, char(n), 1, true), account.records[LAST]
    local known = not probation or before and byte(before) == 1
    account.records[LAST] = (known and '\1' or '\0') .. last
    write_account(KEYS[n], account, now, probation)
  end
end

if without_shadow or unsure then
  return full('F', kept)
end
return pack('>c1I8', 'A', now) .. answer
