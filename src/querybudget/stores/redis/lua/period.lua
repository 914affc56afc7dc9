-- A calendar's periods. Only the client knows the calendar, so it sends those that may be needed.

-- The index of a moment's period in the line's list of periods: starts and ends, ascending, with
-- gaps. If it is nil, the client has to send another list.
local function period_of(quota, moment)
  local list = quota.periods
  if not list then
    local count = (#quota.text - quota.more + 1) / 7
    list = { unpack('>' .. rep('I7', count), quota.text, quota.more) }
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

-- What is left of a debt when a later period starts: each in between pays at most the limit.
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

-- The start of the present period and what is used in it; or nil, and what the list has to reach: a
-- moment, and the number of periods from there on.
local function open_period(quota, record, now)
  local start, used = 0, 0
  if record then
    start, used = unpack('>I7I7', record)
  end
  local at = period_of(quota, now)
  if not at then
    return nil, now, 0
  end
  local begin = quota.periods[at]
  if begin > start then
    local debt = 0
    if used > quota.size then
      debt = debt_at(quota, start, used, begin)
    end
    if not debt then
      return nil, start, ceil(used / quota.size)
    end
    start, used = begin, debt
  end
  return start, used
end

-- µs until nothing is used; -1 if only the client's calendar knows.
local function period_reset(quota, start, used, now)
  if used <= 0 then
    return 0
  end
  local at = period_of(quota, max(now, start))
  if not at or used > quota.size then
    return -1
  end
  return quota.periods[at + 1] - now
end

-- When it stops mattering. Periods differ in length: a month has up to 31 days, nominally 30.
local function period_til(quota, start, used, now)
  return max(now, start) + (ceil(used / quota.size) + 1) * quota.window * 1.1
end
