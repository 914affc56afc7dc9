-- What a settle does to each kind of window.

local function overshoot(quota, window, amount, now)
  local fitting = min(amount, max(0, quota.size - window.total - window.debt))
  charge_slots(quota, window, fitting, now)
  if amount > fitting then
    window.debt = min(window.debt + amount - fitting, MOST - window.total)
    local windows = min(ceil((window.total + window.debt) / quota.size), LONGEST_DEBT)
    window.due = max(window.due, min(now + windows * quota.window, MOST))
  end
end

-- Refund the slot that was charged if it is still live.
local function give_back(quota, window, amount, made, now)
  local marks, slot = window.marks, quota.slot
  local begin = made - made % slot
  local at = #marks - MARK + 1
  while at > 1 and unpack('>I7', marks, at) >= begin + slot do
    at = at - MARK
  end
  if at < 1 then
    return
  end
  local time, held = unpack('>I7I7', marks, at)
  if time < begin or time >= begin + slot then
    return
  end
  local back = min(amount, held)
  window.total = window.total - back
  local kept = back < held and pack('>I7I7', time, held - back) or ''
  window.marks = sub(marks, 1, at - 1) .. kept .. sub(marks, at + MARK)
  -- Debt that fits now counts as used now.
  local paid = min(back, window.debt)
  window.debt = window.debt - paid
  charge_slots(quota, window, paid, now)
end

-- Correct a charge made at `made`: negative gives back, positive is debt.
local function adjust(quota, window, amount, made, now)
  local kind = quota.kind
  if kind == 's' then
    if amount > 0 then
      overshoot(quota, window, amount, now)
    else
      give_back(quota, window, -amount, made, now)
    end
  elseif kind == 'l' then
    window.level = min(window.level + amount, MOST)
    if window.level < 0 then
      window.level, window.part = 0, 0
    end
  elseif amount > 0 or made >= window.start then
    window.used = max(0, min(window.used + amount, LONGEST_DEBT * quota.size, MOST))
  end
end

local function free_lease(window, id)
  local at = find_lease(window.leases, id)
  if at then
    window.leases = sub(window.leases, 1, at - 1) .. sub(window.leases, at + LEASE)
  end
end

-- Whether nothing is used, so that no record is needed.
local function blank(quota, window)
  local kind = quota.kind
  if kind == 's' then
    return #window.marks == 0 and window.debt == 0
  elseif kind == 'l' then
    return window.level == 0 and window.part == 0
  elseif kind == 'p' then
    return window.used == 0
  end
  return #window.leases == 0
end
