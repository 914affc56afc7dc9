-- The client's time if it sent one, or else the server's own, in µs.
local function clock(sent)
  if sent > 0 then
    SPARE = SPARE_BY_CLIENT
    return sent
  end
  local time = redis.call('TIME')
  return time[1] * MICRO + time[2]
end
