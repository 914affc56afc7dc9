-- A line's quota: its kind; its size (the burst of a GCRA quota, otherwise the limit); window and
-- slot, or the units and the time of a GCRA quota's rate; the key of its record. What its kind adds
-- starts at `more` in `text`.

local QUOTA = '>c1I7I7I7Bc0'

local function read_quota(text)
  local kind, size, first, second, key, more = unpack(QUOTA, text)
  return {
    kind = kind,
    size = size,
    window = first,
    slot = second,
    units = first,
    time = second,
    key = key,
    text = text,
    more = more,
  }
end
