-- Whole numbers in doubles: exact up to 2^53. Larger ones are cut to it.

local floor, min, max, ceil = math.floor, math.min, math.max, math.ceil
local unpack_table = unpack
local pack, unpack = struct.pack, struct.unpack
local sub, find, byte, char, rep = string.sub, string.find, string.byte, string.char, string.rep
local format, concat = string.format, table.concat

local MICRO = 1000000
local MOST = 9007199254740991

-- a * b / t in whole numbers: quotient and remainder. a, b and t are at most 2^53, t at most 2^51.
-- The product may need 106 bits, so b is taken a few bits at a time.
local function divided(a, b, t)
  local product = a * b
  if product <= MOST then
    local quotient = floor(product / t)
    return quotient, product - quotient * t
  end
  local whole = floor(a / t)
  local rest = a - whole * t
  local _, bits = math.frexp(t)
  local base = 2 ^ max(1, 52 - bits)
  local scale = 1
  while scale * base <= b do
    scale = scale * base
  end
  local left, quotient, remainder = b, 0, 0
  while scale >= 1 do
    local digit = floor(left / scale)
    left = left - digit * scale
    local value = remainder * base + rest * digit
    local times = floor(value / t)
    remainder = value - times * t
    quotient = quotient * base + times
    scale = scale / base
  end
  return whole * b + quotient, remainder
end

-- A GCRA level and its fraction after a time, at a rate of `units` in `span` µs.
local function leaked(level, part, time, units, span)
  local gone, rest = divided(time, units, span)
  level, part = level - gone, min(part, span) - rest
  if part < 0 then
    level, part = level - 1, part + span
  elseif part >= span then
    level, part = level + 1, part - span
  end
  if level < 0 then
    return 0, 0
  end
  return level, part
end
