-- Charge every line of a call, or none: querybudget.ledger.reserve as one script.
--
-- keys  the accounts, those of the lines first, then the reservation
-- args  1  now (0: the server's time), hold, price, number of lines, number of accounts that have
--          lines, id, its short name, tier; for each line: the number of its account, 1 for shadow or 2 to be
--          left uncharged, amount and minimum, both priced; then the numbers of the accounts on
--          probation, a byte each
--       2  of a call that profiles observe, what it was decided on: for each account the version of its
--          profile (zeros: it has none; ANY: whichever), and the number of its new profile among those
--          below (0: it stays as it is); then for each line of buckets its number from 1, and the least
--          and the most that may be left on it
--       3… the quota of each line
--       …  the new profiles, each behind its version
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

local function found(kind, now, blobs, more)
  return { kind .. pack('>I8', now) .. (more or ''), unpack_table(blobs) }
end

-- What a call was decided on: the versions and new profiles of accounts, and what may be left on lines.
local function read_decided(more, owners, args, before)
  local versions, profiles, ranges, place, number = {}, {}, {}, 1, nil
  for n = 1, owners do
    versions[n], number, place = unpack('>c12B', more, place)
    profiles[n] = number > 0 and args[before + number]
  end
  while place <= #more do
    local n, least, most
    n, least, most, place = unpack('>Bi8i8', more, place)
    ranges[n] = { least, most }
  end
  return versions, profiles, ranges
end

-- A line's window with an amount more: its record, what was left, the amount, µs until nothing is used,
-- and when the window stops mattering. Without a record, its calendar's list is too short: then a moment
-- that it has to reach, and the number of periods from there on.
local function charge(quota, record, amount, now, id, expires)
  local kind, size = quota.kind, quota.size
  if kind == 's' then
    local total, debt, due, marks = open_slots(quota, record, now)
    local room, til = size - total - debt, nil
    amount = min(amount, max(room, 0))
    if amount > 0 then
      marks, til = charge_slots(quota, marks, amount, now)
      til = til + quota.window
      til = debt > 0 and max(til, due) or til
    else
      til = max(now, slots_til(quota, marks, debt, due))
    end
    return pack_slots(total + amount, debt, due, marks), room, amount, til - now, til
  elseif kind == 'l' then
    local level, part, at = open_level(quota, record, now)
    local room = size - level - (part > 0 and 1 or 0)
    amount = min(amount, room)
    level = level + amount
    local reset = level_reset(quota, level, part, at, now)
    return pack('>I7I7I7', level, part, at), room, amount, reset, now + reset
  elseif kind == 'p' then
    local start, used, owed = open_period(quota, record, now)
    if not start then
      return nil, used, owed
    end
    local room = size - used
    amount = min(amount, room)
    used = used + amount
    local reset = period_reset(quota, start, used, now)
    return pack('>I7I7', start, used), room, amount, reset, period_til(quota, start, used, now)
  end
  local leases = open_leases(record or '', now)
  local room = size - #leases / LEASE * MICRO
  leases = take_lease(leases, id, expires)
  return leases, room, amount, MICRO, leases_til(leases)
end

local FIGURES, HELD = {}, {} -- formats of so many lines
local figures, held = {}, {} -- of the lines of a call; tables for each would be garbage

local function reserve(keys, args)
  local call, owners, reservation = args[1], #keys - 1, keys[#keys]
  local now, hold, price, count, charged, id, gen, tier, first = unpack('>I8I8I8BBc12c6Bc0', call)
  now = clock(now)

  local blobs, accounts = {}, {}
  for n = 1, owners do
    blobs[n] = redis.call('GET', keys[n]) or ''
  end
  local versions, profiles, ranges
  if args[2] ~= '' then
    versions, profiles, ranges = read_decided(args[2], owners, args, count + 2)
  end

  local expires = now + hold
  local without_shadow, unsure = false, false
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
    for n = 1, count do
      local owner, shadow, amount, minimum
      owner, shadow, amount, minimum, at = unpack('>BBI8i8', call, at)
      local quota, account = read_quota(args[n + 2]), accounts[owner]
      local records, key = account.records, quota.key
      local record, room, taken, reset, til = charge(quota, records[key], amount, now, id, expires)
      if not record then
        return found('C', now, blobs, pack('>I8I8', room, taken))
      end
      local range = ranges and ranges[n]
      if range and (room < range[1] or room > range[2]) then
        refused = 'S'
      end
      if room < minimum then
        refused = refused or shadow == 0 and 'R' or nil
        again = again or shadow == 1 and not without_shadow
      end
      local place = 3 * n - 2
      if shadow == 2 or without_shadow and shadow == 1 then
        held[n], figures[place], figures[place + 1] = -1, -1, 0
      else
        records[key] = record
        if til > account.til then
          account.til = til
        end
        unsure = unsure or reset < 0
        held[n], figures[place], figures[place + 1] = taken, taken, room - taken
      end
      figures[place + 2] = reset
    end
    if refused then
      local before = redis.call('GET', reservation)
      return before and found('D', now, blobs, before) or found(refused, now, blobs)
    end
    without_shadow = without_shadow or again
  until not again

  -- All lines fit. A second request with the same id finds this reservation.
  local forgotten = expires + GRACE
  local gens = accounts[1].gen
  for n = 2, charged do
    gens = gens .. accounts[n].gen
  end
  HELD[count] = HELD[count] or '>' .. rep('i8', count)
  local kept = pack('>I8I8I8I8', forgotten, now, expires, price)
    .. gens .. pack(HELD[count], unpack_table(held, 1, count))
  local span = format('%d', floor((hold + GRACE) / 1000) + 1000)
  if not redis.call('SET', reservation, kept, 'NX', 'PX', span) then
    return found('D', now, blobs, redis.call('GET', reservation))
  end
  local last, on_probation = pack('>I7', now) .. tier, sub(call, first + 18 * count)
  for n = 1, owners do
    local account, profile = accounts[n], profiles and profiles[n]
    local records = account.records
    if n <= charged then
      account.open = account.open + 1
      account.held = max(account.held, forgotten)
    end
    if profile then
      records[''] = profile
      account.til = max(account.til, now + LIFETIME)
    end
    if n <= charged or profile then
      local probation = on_probation ~= '' and find(on_probation, char(n), 1, true)
      local before = records[LAST]
      local known = not probation or before and byte(before) == 1
      records[LAST] = (known and '\1' or '\0') .. last
      write_account(keys[n], account, now, probation)
    end
  end

  if without_shadow or unsure then
    return found('F', now, blobs, kept)
  end
  FIGURES[count] = FIGURES[count] or '>c1I8' .. rep('i8i8i8', count)
  return pack(FIGURES[count], 'A', now, unpack_table(figures, 1, 3 * count))
end
