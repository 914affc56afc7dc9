-- The server's time (or the one that is given), then accounts as they are.

local given = unpack('>I8', ARGV[1])
local found = { pack('>I8', clock(given)) }
for n = 1, #KEYS do
  found[n + 1] = redis.call('GET', KEYS[n]) or ''
end
return found
