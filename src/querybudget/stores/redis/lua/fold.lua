-- Store the new profile of an account.
--
-- keys  the account
-- args  1  now (0: the server's time), the version of the profile that the new one was computed from,
--          id, 1 if the account is on probation, and the tier
--       2  the new profile
--
-- Returns S, now, and the account as it is; nothing is changed if its profile has another version.

local function fold(keys, args)
  local now, version, id, on_probation, tier = unpack('>I8c12c12BBc0', args[1])
  now = clock(now)
  local blob = redis.call('GET', keys[1]) or ''
  local account = blob ~= '' and read_account(blob)
    or { gen = sub(id, 1, 6), since = now, til = now, open = 0, held = 0, records = {} }
  local profile = account.records['']
  if version ~= (profile and sub(profile, 1, 12) or NONE) then
    return { 'S' .. pack('>I8', now), blob }
  end
  account.records[''] = id .. args[2]
  account.til = max(account.til, now + LIFETIME)
  local before = account.records[LAST]
  local known = on_probation == 0 or before and byte(before) == 1
  account.records[LAST] = (known and '\1' or '\0') .. pack('>I7', now) .. tier
  write_account(keys[1], account, now, on_probation == 1)
  return 'O'
end
