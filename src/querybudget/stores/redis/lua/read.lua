-- The time, then the accounts as they are.

local sent = unpack('>I8', ARGV[1])
local reply = { pack('>I8', clock(sent)) }
for n = 1, #KEYS do
  reply[n + 1] = redis.call('GET', KEYS[n]) or ''
end
return reply
