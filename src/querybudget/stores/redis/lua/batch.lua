-- Several calls of an operation at once. One that fails does not fail the others.
--
-- KEYS  those of each call, one call after the other
-- ARGV  1   of each call the number of its keys and that of its arguments
--       2…  the arguments, one call after the other
--
-- Returns a list of the calls' replies.

local function failure(reason)
  local message = type(reason) == 'table' and reason.err or tostring(reason)
  return { err = find(message, '^%u+ ') and message or 'ERR ' .. message }
end

local function each(operation, KEYS, ARGV)
  moment = nil
  local sizes, replies, key, argument = ARGV[1], {}, 1, 2
  for at = 1, #sizes, 4 do
    local count, given = unpack('>I2I2', sizes, at)
    local keys = { unpack_table(KEYS, key, key + count - 1) }
    local args = { unpack_table(ARGV, argument, argument + given - 1) }
    key, argument = key + count, argument + given
    local fine, reply = pcall(operation, keys, args)
    replies[#replies + 1] = fine and reply or failure(reply)
  end
  return replies
end
