-- Add or remove an override, and note it in the audit log; or only note something.
--
-- keys  the overrides by id, when they end, their version, the audit log
-- args  1  now (0: the server's time)
--       2  the new version
--       3  the most overrides, how many that have ended are removed, the most entries of the log
--       4  the entry of the audit log; empty to note nothing
--       5  the id of the override; without it, nothing but the log is changed
--       6  the override, packed; empty to remove it
--       7  when it ends; empty if never
--
-- Returns O; F if there are too many, or N if there is none of that id: then nothing is changed.

local function override(keys, args)
  local now = clock((unpack('>I8', args[1])))
  local most, swept, logged = unpack('>I4I4I4', args[3])
  local id, entry = args[5], args[6]

  if id then
    for _, gone in ipairs(redis.call('ZRANGEBYSCORE', keys[2], '-inf', now, 'LIMIT', 0, swept)) do
      redis.call('HDEL', keys[1], gone)
      redis.call('ZREM', keys[2], gone)
    end
    if entry == '' then
      if redis.call('HDEL', keys[1], id) == 0 then
        return 'N'
      end
      redis.call('ZREM', keys[2], id)
    else
      if redis.call('HEXISTS', keys[1], id) == 0 and redis.call('HLEN', keys[1]) >= most then
        return 'F'
      end
      redis.call('HSET', keys[1], id, entry)
      redis.call('ZREM', keys[2], id)
      if args[7] ~= '' then
        redis.call('ZADD', keys[2], args[7], id)
      end
    end
    redis.call('SET', keys[3], args[2])
  end
  if args[4] ~= '' then
    redis.call('LPUSH', keys[4], args[4])
    redis.call('LTRIM', keys[4], 0, logged - 1)
  end
  return 'O'
end
