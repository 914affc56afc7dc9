-- What a line says of its quota: kind; size (the burst of a GCRA quota, else the limit); then
-- window and slot, or of a GCRA quota the units and the time of its rate; the key of its record.
-- What its kind adds begins at `more` in `text`.

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
