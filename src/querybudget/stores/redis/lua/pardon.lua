-- Store the profile of an account that was pardoned. What else it holds, and how long, stays.
--
-- keys  the account
-- args  1  now (0: the server's time), the version of the profile that the new one was computed from,
--          the new version
--       2  the new profile
--
-- Returns O; or S, now, and the account as it is, if its profile has another version; or N if there is
-- none.

local function pardon(keys, args)
  local now, version, id = unpack('>I8c12c12', args[1])
  now = clock(now)
  local blob = redis.call('GET', keys[1])
  local account = blob and read_account(blob)
  local profile = account and account.records['']
  if not profile then
    return 'N'
  end
  if version ~= sub(profile, 1, 12) then
    return { 'S' .. pack('>I8', now), blob }
  end
  account.records[''] = id .. args[2]
  local last = account.records[LAST]
  write_account(keys[1], account, now, last and byte(last) == 0)
  return 'O'
end
