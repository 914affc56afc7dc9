-- The version of the overrides, then their ids and the overrides themselves, if it is another one.
--
-- keys  the overrides by id, their version
-- args  1  the version that is known
--       2  the version where there is none

local function overrides(keys, args)
  local version = redis.call('GET', keys[2]) or args[2]
  if version == args[1] then
    return { version }
  end
  return { version, redis.call('HGETALL', keys[1]) }
end
