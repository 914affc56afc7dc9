-- The windows of querybudget.ledger.windows: `open_window` brings one up to date, and `close_window`
-- packs it.
--
--   l  GCRA: level, part, at
--   s  sliding: total, debt, due, then pairs of a time and an amount, oldest first
--   p  calendar: start, used
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
  return { level = level, part = part, at = at, room = quota.size - level - (part > 0 and 1 or 0) }
end

local function open_slots(quota, record, now)
  local total, debt, due, from = 0, 0, 0, 22
  local marks = ''
  if record then
    total, debt, due = unpack('>I7I7I7', record)
    local size = #record
    while from < size do
      local time, amount = unpack('>I7I7', record, from)
      if time + quota.window > now then
        break
      end
      total = total - amount
      from = from + MARK
    end
    marks = sub(record, from)
  end
  if debt > 0 and due <= now then
    debt = 0
  end
  return { total = total, debt = debt, due = due, marks = marks, room = quota.size - total - debt }
end

local function open_leases(quota, record, now)
  local leases, from = record or '', 1
  while from < #leases and unpack('>I7', leases, from + ID) <= now do
    from = from + LEASE
  end
  if from > 1 then
    leases = sub(leases, from)
  end
  return { leases = leases, room = quota.size - #leases / LEASE * MICRO }
end

local function open_window(quota, record, now)
  local kind = quota.kind
  if kind == 's' then
    return open_slots(quota, record, now)
  elseif kind == 'l' then
    return open_level(quota, record, now)
  elseif kind == 'p' then
    return open_period(quota, record, now)
  end
  return open_leases(quota, record, now)
end

-- The index of a lease's entry, or nil.
local function find_lease(leases, id)
  local at = find(leases, id, 1, true)
  while at and (at - 1) % LEASE ~= 0 do
    at = find(leases, id, at + 1, true)
  end
  return at
end

local function charge_slots(quota, window, amount, now)
  if amount == 0 then
    return
  end
  local marks, slot = window.marks, quota.slot
  local size = #marks
  window.total = window.total + amount
  if size > 0 then
    local newest, held = unpack('>I7I7', marks, size - MARK + 1)
    if now < newest + slot - newest % slot then
      window.marks = sub(marks, 1, size - MARK) .. pack('>I7I7', max(now, newest), held + amount)
      return
    end
  end
  window.marks = marks .. pack('>I7I7', now, amount)
end

-- The packed window, and when it stops mattering.
local function close_window(quota, window, now)
  local kind = quota.kind
  if kind == 's' then
    local head = pack('>I7I7I7', window.total, window.debt, window.due)
    return head .. window.marks, max(now + quota.window, window.debt > 0 and window.due or 0)
  elseif kind == 'l' then
    local level = window.level
    local record = pack('>I7I7I7', level, window.part, window.at)
    return record, max(now, window.at) + ceil((level + 1) / quota.units * quota.time * 1.000001) + 1
  elseif kind == 'p' then
    return pack('>I7I7', window.start, window.used), period_til(quota, quota.window, window, now)
  end
  local leases = window.leases
  return leases, #leases > 0 and unpack('>I7', leases, #leases - 6) or now
end

