-- What a settlement does to each kind of window: it corrects a charge made at `made`. A negative amount
-- gives back, a positive one is debt. Each function returns the new record, nil if nothing is used, and
-- when it stops mattering.

local function overshoot(quota, total, debt, due, marks, amount, now)
  local fitting = min(amount, max(0, quota.size - total - debt))
  if fitting > 0 then
    marks, total = charge_slots(quota, marks, fitting, now), total + fitting
  end
  if amount > fitting then
    debt = min(debt + amount - fitting, MOST - total)
    local windows = min(ceil((total + debt) / quota.size), LONGEST_DEBT)
    due = max(due, min(now + windows * quota.window, MOST))
  end
  return total, debt, due, marks
end

-- Refund the slot that was charged if it is still live.
local function give_back(quota, total, debt, due, marks, amount, made, now)
  local slot = quota.slot
  local begin = made - made % slot
  local at = #marks - MARK + 1
  while at > 1 and unpack('>I7', marks, at) >= begin + slot do
    at = at - MARK
  end
  if at < 1 then
    return total, debt, due, marks
  end
  local time, held = unpack('>I7I7', marks, at)
  if time < begin or time >= begin + slot then
    return total, debt, due, marks
  end
  local back = min(amount, held)
  local kept = back < held and pack('>I7I7', time, held - back) or ''
  marks, total = sub(marks, 1, at - 1) .. kept .. sub(marks, at + MARK), total - back
  -- Debt that fits now counts as used now.
  local paid = min(back, debt)
  if paid > 0 then
    marks, total, debt = charge_slots(quota, marks, paid, now), total + paid, debt - paid
  end
  return total, debt, due, marks
end

local function correct_slots(quota, record, amount, made, now)
  local total, debt, due, marks = open_slots(quota, record, now)
  if amount > 0 then
    total, debt, due, marks = overshoot(quota, total, debt, due, marks, amount, now)
  else
    total, debt, due, marks = give_back(quota, total, debt, due, marks, -amount, made, now)
  end
  local til = slots_til(quota, marks, debt, due)
  return til > 0 and pack_slots(total, debt, due, marks) or nil, til
end

local function correct_level(quota, record, amount, now)
  local level, part, at = open_level(quota, record, now)
  level = min(level + amount, MOST)
  if level < 0 then
    level, part = 0, 0
  end
  local til = max(now, at) + ceil((level + 1) / quota.units * quota.time * 1.000001) + 1
  return (level > 0 or part > 0) and pack('>I7I7I7', level, part, at) or nil, til
end

local function correct_period(quota, start, used, amount, made, now)
  if amount > 0 or made >= start then
    used = max(0, min(used + amount, LONGEST_DEBT * quota.size, MOST))
  end
  return used > 0 and pack('>I7I7', start, used) or nil, period_til(quota, start, used, now)
end

local function correct_leases(record, id, now)
  local leases = free_lease(open_leases(record or '', now), id)
  return leases ~= '' and leases or nil, leases_til(leases)
end
