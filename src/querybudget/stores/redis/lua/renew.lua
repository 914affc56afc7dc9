-- Hold what a call has reserved for longer, because it is still open: querybudget.ledger.renew as one
-- script.
--
-- KEYS  the accounts, then the reservation
-- ARGV  1  now (0: the server's time), hold, id, number of lines; for each line: the number of its
--          account
--       2… the quota of each line
--
-- Returns R, then when the reservation expires; 0 if it is not known (any more).

local now, hold, id, count, at = unpack('>I8I8c12B', ARGV[1])
now = clock(now)
local owners, reservation = #KEYS - 1, KEYS[#KEYS]
local unknown = 'R' .. pack('>I8', 0)
local expires = now + hold

local record = redis.call('GET', reservation)
if not record then
  return unknown
end
local forgotten, made, _, price, from = unpack('>I8I8I8I8', record)
if forgotten <= now then
  return unknown
end
local rest = sub(record, from)

local accounts, known = {}, false
for n = 1, owners do
  local blob = redis.call('GET', KEYS[n])
  local account = blob and read_account(blob)
  if account and account.gen ~= sub(record, from, from + 5) then
    account = nil
  end
  from = from + 6
  accounts[n] = account or false
  known = known or account
end
if not known then
  return unknown
end

local function renew_lease(quota, record)
  local window = open_leases(quota, record, now)
  free_lease(window, id)
  local leases = window.leases
  local to = #leases + 1
  while to > 1 and unpack('>I7', leases, to - 7) > expires do
    to = to - LEASE
  end
  return sub(leases, 1, to - 1) .. id .. pack('>I7', expires) .. sub(leases, to)
end

for n = 1, count do
  local owner, held
  owner, at = unpack('>B', ARGV[1], at)
  held, from = unpack('>i8', record, from)
  local account, quota = accounts[owner], read_quota(ARGV[n + 1])
  local kept = account and account.records[quota.key]
  if account and held >= 0 and quota.kind == 'c' then
    account.records[quota.key] = renew_lease(quota, kept)
    account.til = max(account.til, expires)
  end
end

forgotten = expires + GRACE
local span = floor((hold + GRACE) / 1000) + SPARE
redis.call('SET', reservation, pack('>I8I8I8I8', forgotten, made, expires, price) .. rest, 'PX', span)
for n = 1, owners do
  local account = accounts[n]
  if account then
    account.held = max(account.held, forgotten)
    write_account(KEYS[n], account, now)
  end
end
return 'R' .. pack('>I8', expires)
