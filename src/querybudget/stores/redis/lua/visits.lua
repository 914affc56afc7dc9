-- What becomes of a call's pending buckets when it is settled.

-- Take a call's pending entry of a bucket away; its weight and slot, or nil.
local function drop_pending(o, id, cell)
  local at = #o.pending > 0 and find_pending(o.pending, cell, 1)
  while at and at <= #o.pending do
    local found, name, weight, slot = unpack(PENDING, o.pending, at)
    if found ~= cell then
      break
    end
    if name == id then
      o.pending = sub(o.pending, 1, at - 1) .. sub(o.pending, at + ENTRY)
      return weight, slot
    end
    at = at + ENTRY
  end
  return nil
end

local function visit_buckets(o, id, cells)
  for _, cell in ipairs(cells) do
    local weight, slot = drop_pending(o, id, cell)
    if weight then
      aging().note(o, weight, cell, slot)
    end
  end
end

local function give_buckets_back(o, id, cells)
  for _, cell in ipairs(cells) do
    local weight = drop_pending(o, id, cell)
    if weight then
      o.total = o.total - max(0, weight - weight_of(o, cell))
    end
  end
end

