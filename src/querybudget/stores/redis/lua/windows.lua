-- The kinds of window, as querybudget.windows has them. `open_window` brings one up to date and
-- says in `room` what could be granted now; `charge` uses that much; `close_window` packs it.
--
--   l  level: level, part, at
--   s  slots: total, debt, due, then pairs of a time and an amount, oldest first
--   p  period: start, used
--   c  leases: an id of twelve bytes and when it expires, the next to expire first

local ID = 12
local MARK, LEASE = 14, ID + 7

-- Where a moment's period is on the line's own list of periods, each a start and an end, ascending
-- and with gaps; nil if it is not there, and then the client has to send another list.
local function period_of(quota, moment)
  local list = quota.periods
  if not list then
    local count = (#quota.text - quota.more + 1) / 7
    list = { unpack('>' .. string.rep('I7', count), quota.text, quota.more) }
    list[#list] = nil
    quota.periods = list
  end
  for at = #list - 1, 1, -2 do
    if list[at] <= moment then
      return moment < list[at + 1] and at or nil
    end
  end
  return nil
end

-- What is left of a debt when a later period begins: each in between pays at most the limit.
local function debt_at(quota, start, debt, begin)
  local list, at = quota.periods, period_of(quota, start)
  while at and debt > 0 and start < begin do
    if list[at] ~= start then
      return nil
    end
    debt, start, at = debt - quota.size, list[at + 1], list[at + 2] and at + 2
  end
  if debt > 0 and start < begin then
    return nil
  end
  return max(0, debt)
end

local function open_level(quota, record, now)
  local level, part, at = 0, 0, 0
  if record then
    level, part, at = unpack('>I7I7I7', record)
  end
  if now > at then
    if level > 0 or part > 0 then
      local time = quota.time
      local leaked, rest = divided(now - at, quota.units, time)
      level, part = level - leaked, min(part, time) - rest
      if part < 0 then
        level, part = level - 1, part + time
      elseif part >= time then
        level, part = level + 1, part - time
      end
      if level < 0 then
        level, part = 0, 0
      end
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

local function open_period(quota, record, now)
  local start, used = 0, 0
  if record then
    start, used = unpack('>I7I7', record)
  end
  local at = period_of(quota, now)
  if not at then
    return { stale = now, owed = 0 }
  end
  local begin = quota.periods[at]
  if begin > start then
    local debt = 0
    if used > quota.size then
      debt = debt_at(quota, start, used, begin)
    end
    if not debt then
      return { stale = start, owed = ceil(used / quota.size) }
    end
    start, used = begin, debt
  end
  return { start = start, used = used, room = quota.size - used }
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

-- Where a lease's entry begins; nil without one.
local function find_lease(leases, id)
  local at = find(leases, id, 1, true)
  while at and (at - 1) % LEASE ~= 0 do
    at = find(leases, id, at + 1, true)
  end
  return at
end

local function take_lease(window, id, expires)
  local leases = window.leases
  local at = find_lease(leases, id)
  if at then
    leases = sub(leases, 1, at - 1) .. sub(leases, at + LEASE)
  end
  at = #leases + 1
  while at > 1 and unpack('>I7', leases, at - 7) > expires do
    at = at - LEASE
  end
  window.leases = sub(leases, 1, at - 1) .. id .. pack('>I7', expires) .. sub(leases, at)
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

local function charge(quota, window, amount, now)
  local kind = quota.kind
  if kind == 's' then
    charge_slots(quota, window, amount, now)
  elseif kind == 'l' then
    window.level = window.level + amount
  else
    window.used = window.used + amount
  end
end

-- What the window is packed as, and when nothing of it matters any more.
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
    local used = window.used
    -- Periods differ in length: a month has up to 31 days where its nominal length is 30.
    local periods = ceil(used / quota.size) + 1
    return pack('>I7I7', window.start, used), max(now, window.start) + periods * quota.window * 1.1
  end
  local leases = window.leases
  return leases, #leases > 0 and unpack('>I7', leases, #leases - 6) or now
end

-- µs until nothing is used any more; -1 where only the client's calendar knows.
local function reset_of(quota, window, now)
  local kind = quota.kind
  if kind == 's' then
    local marks, last = window.marks, now
    if #marks > 0 then
      last = unpack('>I7', marks, #marks - MARK + 1) + quota.window
    end
    return max(last, window.debt > 0 and window.due or now) - now
  elseif kind == 'l' then
    local whole, rest = divided(window.level, quota.time, quota.units)
    return window.at - now + whole + ceil((rest + window.part) / quota.units)
  elseif kind == 'p' then
    if window.used <= 0 then
      return 0
    end
    local at = period_of(quota, max(now, window.start))
    if not at or window.used > quota.size then
      return -1
    end
    return quota.periods[at + 1] - now
  end
  return #window.leases > 0 and MICRO or 0
end
