-- Hold what a call has reserved for longer, because it is still open: querybudget.ledger.renew as one
-- script.
--
-- keys  the accounts, then the reservation
-- args  1  now (0: the server's time), hold, id, number of lines; for each line: the number of its
--          account
--       2… the quota of each line
--
-- Returns R, then when the reservation expires; 0 if it is not known (any more).

local function renew(keys, args)
  local now, hold, id, count, at = unpack('>I8I8c12B', args[1])
  now = clock(now)
  local owners, reservation = #keys - 1, keys[#keys]
  local unknown = 'R' .. pack('>I8', 0)
  local expires = now + hold

  local kept = redis.call('GET', reservation)
  if not kept then
    return unknown
  end
  local forgotten, made, _, price, from = unpack('>I8I8I8I8', kept)
  if forgotten <= now then
    return unknown
  end
  local rest = sub(kept, from)
  local accounts, known
  accounts, known, from = read_charged(keys, owners, kept, from)
  if not known then
    return unknown
  end

  for n = 1, count do
    local owner, held
    owner, at = unpack('>B', args[1], at)
    held, from = unpack('>i8', kept, from)
    local account, quota = accounts[owner], read_quota(args[n + 1])
    if account and held >= 0 and quota.kind == 'c' then
      local leases = free_lease(open_leases(account.records[quota.key] or '', now), id)
      account.records[quota.key] = take_lease(leases, id, expires)
      account.til = max(account.til, expires)
    end
  end

  forgotten = expires + GRACE
  local span = format('%d', floor((hold + GRACE) / 1000) + spare)
  local renewed = pack('>I8I8I8I8', forgotten, made, expires, price) .. rest
  redis.call('SET', reservation, renewed, 'PX', span)
  for n = 1, owners do
    local account = accounts[n]
    if account then
      account.held = max(account.held, forgotten)
      write_account(keys[n], account, now)
    end
  end
  return 'R' .. pack('>I8', expires)
end
