-- Add or remove an override, and note it in the audit log; or only note something.
--
-- KEYS  the overrides by id, when they end, their version, the audit log
-- ARGV  1  now (0: the server's time)
--       2  the new version
--       3  the most overrides, how many that have ended are removed, the most entries of the log
--       4  the entry of the audit log; empty to note nothing
--       5  the id of the override; without it, nothing but the log is changed
--       6  the override, packed; empty to remove it
--       7  when it ends; empty if never
--
-- Returns O; F if there are too many, or N if there is none of that id: then nothing is changed.

local now = clock((unpack('>I8', ARGV[1])))
local most, swept, logged = unpack('>I4I4I4', ARGV[3])
local id, entry = ARGV[5], ARGV[6]

if id then
  for _, gone in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, swept)) do
    redis.call('HDEL', KEYS[1], gone)
    redis.call('ZREM', KEYS[2], gone)
  end
  if entry == '' then
    if redis.call('HDEL', KEYS[1], id) == 0 then
      return 'N'
    end
    redis.call('ZREM', KEYS[2], id)
  else
    if redis.call('HEXISTS', KEYS[1], id) == 0 and redis.call('HLEN', KEYS[1]) >= most then
      return 'F'
    end
    redis.call('HSET', KEYS[1], id, entry)
    redis.call('ZREM', KEYS[2], id)
    if ARGV[7] ~= '' then
      redis.call('ZADD', KEYS[2], ARGV[7], id)
    end
  end
  redis.call('SET', KEYS[3], ARGV[2])
end
if ARGV[4] ~= '' then
  redis.call('LPUSH', KEYS[4], ARGV[4])
  redis.call('LTRIM', KEYS[4], 0, logged - 1)
end
return 'O'
