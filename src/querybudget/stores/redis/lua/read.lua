-- The time, then the accounts as they are.

local function read(keys, args)
  local sent = unpack('>I8', args[1])
  local reply = { pack('>I8', clock(sent)) }
  for n = 1, #keys do
    reply[n + 1] = redis.call('GET', keys[n]) or ''
  end
  return reply
end
