-- The time that was given, or the server's own.
local function clock(given)
  if given > 0 then
    return given
  end
  local time = redis.call('TIME')
  return time[1] * MICRO + time[2]
end
