-- What becomes of a call's pending buckets when it is settled.

-- Take a call's entries away; what they were, as { cell, weight, slot, ... }.
local function drop_pending(o, id)
  local dropped, kept, pending, begin = {}, {}, o.pending, 1
  local at = find(pending, id, 3, true)
  while at do
    local from = at - 2
    if (from - 1) % ENTRY == 0 then
      local cell, _, weight, slot = unpack(PENDING, pending, from)
      local n = #dropped
      dropped[n + 1], dropped[n + 2], dropped[n + 3] = cell, weight, slot
      kept[#kept + 1] = sub(pending, begin, from - 1)
      begin, at = from + ENTRY, find(pending, id, from + ENTRY, true)
    else
      at = find(pending, id, at + 1, true)
    end
  end
  if begin > 1 then
    kept[#kept + 1] = sub(pending, begin)
    o.pending = table.concat(kept)
  end
  return dropped
end

local function visit_buckets(o, id)
  local dropped = drop_pending(o, id)
  for n = 1, #dropped, 3 do
    aging().note(o, dropped[n + 1], dropped[n], dropped[n + 2])
  end
end

local function give_buckets_back(o, id)
  local dropped = drop_pending(o, id)
  if #dropped > 3 * FEW then
    index_pending(o)
  end
  for n = 1, #dropped, 3 do
    o.total = o.total - max(0, dropped[n + 1] - weight_of(o, dropped[n]))
  end
end
