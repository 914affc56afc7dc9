-- The windows of querybudget.ledger.windows. Each is opened from its record, which brings it up to
-- date, and packed again.
--
--   l  GCRA: level, part, at
--   s  sliding: total, debt, due, then pairs of a time and an amount, oldest first
--   p  calendar: start, used (period.lua)
--   c  leases: an id of 12 bytes and when it expires, the next to expire first

local ID = 12
local MARK, LEASE = 14, ID + 7

local function open_level(quota, record, now)
  local level, part, at = 0, 0, 0
  if record then
    level, part, at = unpack('>I7I7I7', record)
  end
  if now > at then
    if level > 0 or part > 0 then
      level, part = leaked(level, part, now - at, quota.units, quota.time)
    end
    at = now
  end
  return level, part, at
end

-- µs until a level is empty.
local function level_reset(quota, level, part, at, now)
  local whole, rest = divided(level, quota.time, quota.units)
  return min(at - now + whole + ceil((rest + part) / quota.units), MOST)
end

-- Total, debt, due, and the pairs that still count.
local function open_slots(quota, record, now)
  if not record then
    return 0, 0, 0, ''
  end
  local total, debt, due = unpack('>I7I7I7', record)
  local window, from, size = quota.window, 22, #record
  while from < size do
    local time, amount = unpack('>I7I7', record, from)
    if time + window > now then
      break
    end
    total, from = total - amount, from + MARK
  end
  if debt > 0 and due <= now then
    debt = 0
  end
  return total, debt, due, sub(record, from)
end

-- The pairs with an amount more, and the time of the newest.
local function charge_slots(quota, marks, amount, now)
  local size = #marks
  if size > 0 then
    local newest, held = unpack('>I7I7', marks, size - MARK + 1)
    local slot = quota.slot
    if now < newest + slot - newest % slot then
      newest = max(now, newest)
      return sub(marks, 1, size - MARK) .. pack('>I7I7', newest, held + amount), newest
    end
  end
  return marks .. pack('>I7I7', now, amount), now
end

-- When nothing is used any more; 0 if nothing is.
local function slots_til(quota, marks, debt, due)
  local til, size = 0, #marks
  if size > 0 then
    til = unpack('>I7', marks, size - MARK + 1) + quota.window
  end
  return debt > 0 and max(til, due) or til
end

local function pack_slots(total, debt, due, marks)
  return pack('>I7I7I7', total, debt, due) .. marks
end

local function open_leases(record, now)
  local from, size = 1, #record
  while from < size and unpack('>I7', record, from + ID) <= now do
    from = from + LEASE
  end
  return from > 1 and sub(record, from) or record
end

local function take_lease(leases, id, expires)
  local to = #leases + 1
  while to > 1 and unpack('>I7', leases, to - 7) > expires do
    to = to - LEASE
  end
  return sub(leases, 1, to - 1) .. id .. pack('>I7', expires) .. sub(leases, to)
end

local function free_lease(leases, id)
  local at = find(leases, id, 1, true)
  while at and (at - 1) % LEASE ~= 0 do
    at = find(leases, id, at + 1, true)
  end
  return at and sub(leases, 1, at - 1) .. sub(leases, at + LEASE) or leases
end

-- When the last lease expires; 0 if there is none.
local function leases_til(leases)
  local size = #leases
  return size > 0 and unpack('>I7', leases, size - 6) or 0
end
