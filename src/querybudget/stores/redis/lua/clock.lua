-- Milliseconds that a key outlives its account. The server cannot know when an account ends by a
-- clock of the client, which only tests have: then it is an hour.
local SPARE, SPARE_BY_CLIENT = 1000, 3600000
local spare, moment

-- The client's time if it sent one, or else the server's own, in µs: read once for all calls that
-- came together.
local function clock(sent)
  if sent > 0 then
    spare = SPARE_BY_CLIENT
    return sent
  end
  spare = SPARE
  if not moment then
    local time = redis.call('TIME')
    moment = time[1] * MICRO + time[2]
  end
  return moment
end
