-- The version of the overrides, then their ids and the overrides themselves, if it is another one.
--
-- KEYS  the overrides by id, their version
-- ARGV  1  the version that is known
--       2  the version where there is none

local version = redis.call('GET', KEYS[2]) or ARGV[2]
if version == ARGV[1] then
  return { version }
end
return { version, redis.call('HGETALL', KEYS[1]) }
