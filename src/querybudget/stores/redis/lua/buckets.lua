-- Which buckets were visited, as querybudget.coverage.buckets has it: window, tail, head, total,
-- stage, then layers by weight, each of two bytes a bucket, ascending, and what is pending: an
-- entry for each bucket and open call, entries of one bucket together, what was asked last last.

local PENDING = '>I2c12I7I7I7'
local ENTRY = 35
local AGES = 16
local FEW = 4 -- buckets, for each of which all entries may be searched

local function open_buckets(record)
  if not record then
    return { window = 0, tail = 0, head = 0, total = 0, stage = 0, layers = {}, pending = '' }
  end
  local window, tail, head, total, stage, count, at = unpack('>I7I7I7I7BB', record)
  local layers = {}
  for n = 1, count do
    local weight, size
    weight, size, at = unpack('>I7I2', record, at)
    layers[n] = { weight, sub(record, at, at + size - 1) }
    at = at + size
  end
  return {
    window = window,
    tail = tail,
    head = head,
    total = total,
    stage = stage,
    layers = layers,
    pending = sub(record, at),
  }
end

local function close_buckets(quota, o, now)
  local layers = o.layers
  local parts = { pack('>I7I7I7I7BB', o.window, o.tail, o.head, o.total, o.stage, #layers) }
  for _, layer in ipairs(layers) do
    parts[#parts + 1] = pack('>I7I2', layer[1], #layer[2])
    parts[#parts + 1] = layer[2]
  end
  parts[#parts + 1] = o.pending
  return table.concat(parts), max(now, (o.head + 1) * quota.slot) + quota.window
end

-- Where a bucket's two bytes begin in a layer; without any, minus where they would.
local function find_bucket(layer, cell)
  local low, high = 0, #layer / 2
  while low < high do
    local middle = floor((low + high) / 2)
    local first, second = byte(layer, middle * 2 + 1, middle * 2 + 2)
    local found = first * 16 + floor(second / 16)
    if found < cell then
      low = middle + 1
    elseif found > cell then
      high = middle
    else
      return middle * 2 + 1
    end
  end
  return -(low * 2 + 1)
end

-- Where a bucket's first pending entry begins, from `at` on; nil without one.
local function find_pending(pending, cell, at)
  local name = char(floor(cell / 256), cell % 256)
  at = find(pending, name, at, true)
  while at and (at - 1) % ENTRY ~= 0 do
    at = find(pending, name, at + 1, true)
  end
  return at
end

-- The weight of the heaviest pending entry by bucket, for a call of many buckets: looking for each by
-- itself would read all entries each time.
local function index_pending(o)
  local index, pending = {}, o.pending
  for at = 1, #pending, ENTRY do
    local cell, _, weight = unpack(PENDING, pending, at)
    index[cell] = max(weight, index[cell] or 0)
  end
  o.index = index
end

local function weight_of(o, cell)
  local heaviest = 0
  for _, layer in ipairs(o.layers) do
    if find_bucket(layer[2], cell) > 0 then
      heaviest = max(heaviest, layer[1])
    end
  end
  if o.index then
    return max(heaviest, o.index[cell] or 0)
  end
  local pending = o.pending
  local at = #pending > 0 and find_pending(pending, cell, 1)
  while at do
    local found, _, weight = unpack(PENDING, pending, at)
    if found ~= cell then
      break
    end
    heaviest = max(heaviest, weight)
    at = at + ENTRY
    if at > #pending then
      break
    end
  end
  return heaviest
end

-- What happens to visits as time passes. It is created when a call needs it, which most do not: a
-- script creates its functions again for each call.
local made
local function aging()
  if made then
    return made
  end

  local function put(o, weight, cell, entry)
    local layers = o.layers
    local n = 1
    while layers[n] and layers[n][1] < weight do
      n = n + 1
    end
    local layer = layers[n]
    if not layer or layer[1] ~= weight then
      table.insert(layers, n, { weight, entry })
      return
    end
    local packed = layer[2]
    local at = find_bucket(packed, cell)
    local rest = at > 0 and at + 2 or -at
    packed = sub(packed, 1, math.abs(at) - 1) .. entry .. sub(packed, rest)
    if #packed > 0 then
      layer[2] = packed
    else
      table.remove(layers, n)
    end
  end

  local function bytes_of(cell, slot)
    return char(floor(cell / 16), cell % 16 * 16 + slot % AGES)
  end

  -- Keep a visit, unless a heavier one is as new; drop lighter ones that are no newer.
  local function note(o, weight, cell, slot)
    local useless = {}
    for _, layer in ipairs(o.layers) do
      local at = find_bucket(layer[2], cell)
      if at > 0 then
        local known = o.tail + (byte(layer[2], at + 1) % AGES - o.tail) % AGES
        if layer[1] >= weight and known >= slot then
          return
        end
        if layer[1] < weight and known <= slot then
          useless[#useless + 1] = layer[1]
        end
      end
    end
    for _, lighter in ipairs(useless) do
      put(o, lighter, cell, '')
    end
    put(o, weight, cell, bytes_of(cell, slot))
  end

  -- Every visit that is kept, layer by layer, as { weight, { cell, slot, ... } }.
  local function visits_of(o)
    local all = {}
    for n, layer in ipairs(o.layers) do
      local packed, visits = layer[2], {}
      for at = 1, #packed, 2 do
        local first, second = byte(packed, at, at + 1)
        visits[at] = first * 16 + floor(second / 16)
        visits[at + 1] = o.tail + (second % AGES - o.tail) % AGES
      end
      all[n] = { layer[1], visits }
    end
    return all
  end

  -- Keep these visits and those pending, as far as they count, and nothing else.
  local function hold(o, all)
    local newest, heaviest, layers = {}, {}, {}
    for n = #all, 1, -1 do
      local weight, visits, kept = all[n][1], all[n][2], {}
      for at = 1, #visits, 2 do
        local cell, slot = visits[at], visits[at + 1]
        if slot > (newest[cell] or o.tail - 1) then
          newest[cell] = slot
          heaviest[cell] = max(weight, heaviest[cell] or 0)
          kept[#kept + 1] = bytes_of(cell, slot)
        end
      end
      if #kept > 0 then
        table.insert(layers, 1, { weight, table.concat(kept) })
      end
    end
    local pending, kept = o.pending, {}
    for at = 1, #pending, ENTRY do
      local cell, _, weight, slot = unpack(PENDING, pending, at)
      if slot >= o.tail then
        kept[#kept + 1] = sub(pending, at, at + ENTRY - 1)
        heaviest[cell] = max(weight, heaviest[cell] or 0)
      end
    end
    local total = 0
    for _, weight in pairs(heaviest) do
      total = total + weight
    end
    o.layers, o.pending, o.total = layers, table.concat(kept), total
  end

  -- Renumber all slots for another window. Nothing counts for a shorter time because of it.
  local function refit(quota, o, now)
    local length, all = ceil(o.window / (AGES - 1)), visits_of(o)
    local function renumbered(slot)
      return floor(min((slot + 1) * length - 1, now) / quota.slot)
    end
    o.window = quota.window
    o.tail = max(0, floor((now - quota.window + 1) / quota.slot))
    o.head = max(o.tail, renumbered(o.head))
    for _, layer in ipairs(all) do
      local visits = layer[2]
      for at = 2, #visits, 2 do
        visits[at] = renumbered(visits[at])
      end
    end
    local pending, moved = o.pending, {}
    for at = 1, #pending, ENTRY do
      local cell, id, weight, slot, expires = unpack(PENDING, pending, at)
      moved[#moved + 1] = pack(PENDING, cell, id, weight, renumbered(slot), expires)
    end
    o.pending = table.concat(moved)
    hold(o, all)
  end

  local function forget(o, tail)
    local all = visits_of(o)
    o.tail, o.head = tail, max(o.head, tail)
    hold(o, all)
  end

  -- Let the bucket that is pending longest be visited by its calls that will not be settled; whether
  -- no other entry of it is left.
  local function lapse(o, now)
    local cell = unpack('>I2', o.pending)
    while #o.pending > 0 do
      local found, _, weight, slot, expires = unpack(PENDING, o.pending)
      if found ~= cell then
        break
      end
      if expires > now then
        return false
      end
      o.pending = sub(o.pending, ENTRY + 1)
      note(o, weight, cell, slot)
    end
    return true
  end

  made = { note = note, visits_of = visits_of, refit = refit, forget = forget, lapse = lapse }
  return made
end

-- Bring up to date, and return how many more buckets could be visited.
local function bucket_room(quota, o, now)
  if o.window == 0 then
    o.window = quota.window
  elseif quota.window ~= o.window then
    aging().refit(quota, o, now)
  end
  local tail = floor((now - quota.window + 1) / quota.slot)
  if tail > o.tail then
    if o.total > 0 then
      aging().forget(o, tail)
    else
      o.tail, o.head, o.layers, o.pending = tail, max(o.head, tail), {}, ''
    end
  end
  return quota.size - o.total
end

-- Take the entries of a call's buckets out of what is pending, by bucket, so that they can be put
-- last; those that come first and have lapsed are noted.
local function take_entries(o, cells, now)
  local entries, kept, pending = {}, {}, o.pending
  for _, cell in ipairs(cells) do
    entries[cell] = ''
  end
  for at = 1, #pending, ENTRY do
    local cell, _, weight, slot, expires = unpack(PENDING, pending, at)
    local others = entries[cell]
    if not others then
      kept[#kept + 1] = sub(pending, at, at + ENTRY - 1)
    elseif others == '' and expires <= now then
      aging().note(o, weight, cell, slot)
    else
      entries[cell] = others .. sub(pending, at, at + ENTRY - 1)
    end
  end
  o.pending = table.concat(kept)
  return entries
end

-- Make `cells` pending for a call.
local function take_buckets(quota, o, id, cells, weight, novelty, now, expires)
  if weight == 0 or #cells == 0 then
    return
  end
  o.total = o.total + novelty
  o.head = max(o.head, floor(now / quota.slot))
  o.index = nil
  while #o.pending > 0 and unpack('>I7', o.pending, ENTRY - 6) <= now and aging().lapse(o, now) do
  end
  local entries, added = {}, {}
  local met = #o.pending > 0 and #cells > FEW
  for n = 1, #o.pending > 0 and not met and #cells or 0 do
    met = met or find_pending(o.pending, cells[n], 1)
  end
  if met then
    entries = take_entries(o, cells, now)
  end
  for n, cell in ipairs(cells) do
    added[n] = (entries[cell] or '') .. pack(PENDING, cell, id, weight, o.head, expires)
  end
  o.pending = o.pending .. table.concat(added)
end

-- µs until no bucket counts any more.
local function bucket_reset(quota, o, now)
  if o.total == 0 then
    return 0
  end
  local newest, pending = 0, o.pending
  if #pending > 0 then
    newest = unpack('>I7', pending, #pending - 13)
  end
  if newest < o.head then
    for at = 1, #pending, ENTRY do
      newest = max(newest, (unpack('>I7', pending, at + 21)))
    end
    for _, layer in ipairs(aging().visits_of(o)) do
      for at = 2, #layer[2], 2 do
        newest = max(newest, layer[2][at])
      end
    end
  end
  return (newest + 1) * quota.slot - 1 + quota.window - now
end

local function cells_of(packed)
  local cells = {}
  for at = 1, #packed, 2 do
    local first, second = byte(packed, at, at + 1)
    cells[#cells + 1] = first * 256 + second
  end
  return cells
end
