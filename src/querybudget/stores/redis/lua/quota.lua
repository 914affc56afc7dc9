-- A line's quota: its kind; its size (the burst of a GCRA quota, otherwise the limit); window and
-- slot, or the units and the time of a GCRA quota's rate; the key of its record. What its kind adds
-- starts at `more` in `text`.
-- Nothing changes a quota, so a library keeps those that it has read, by their texts.

local QUOTA, MOST_QUOTAS = '>c1I7I7I7Bc0', 1024
local quotas, quotas_read = {}, 0

local function read_quota(text)
  local quota = quotas[text]
  if quota then
    return quota
  end
  local kind, size, first, second, key, more = unpack(QUOTA, text)
  quota = {
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
  if quotas_read >= MOST_QUOTAS then
    quotas, quotas_read = {}, 0
  end
  quotas[text], quotas_read = quota, quotas_read + 1
  return quota
end
