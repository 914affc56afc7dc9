-- Replace what is held by what was used: querybudget.ledger.settle as one script.
--
-- KEYS  the accounts, then the reservation
-- ARGV  1  now (0: the server's time), id, number of lines; for each line: the number of its account,
--          amount, priced; then the numbers of the accounts on probation, a byte each
--       2… the quota of each line
--
-- Returns D done, L late or N not known (any more). Or C as `reserve` does.

local now, id, count, at = unpack('>I8c12B', ARGV[1])
now = clock(now)
local owners, reservation = #KEYS - 1, KEYS[#KEYS]
local on_probation = sub(ARGV[1], at + 9 * count)

local record = redis.call('GET', reservation)
if not record then
  return 'N'
end
local forgotten, made, expires, _, from = unpack('>I8I8I8I8', record)
if forgotten <= now then
  redis.call('DEL', reservation)
  return 'N'
end

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
  redis.call('DEL', reservation)
  return 'N'
end

local late, lines = now >= expires, {}
for n = 1, count do
  local owner, amount, held
  owner, amount, at = unpack('>BI8', ARGV[1], at)
  held, from = unpack('>i8', record, from)
  local account = accounts[owner]
  if account and held >= 0 then
    local quota = read_quota(ARGV[n + 1])
    local lease = quota.kind == 'c'
    local difference = lease and 0 or amount - held
    if lease or difference > 0 or (difference ~= 0 and not late) then
      local window = open_window(quota, account.records[quota.key], now)
      if window.stale then
        return 'C' .. pack('>I8I8I8', now, window.stale, window.owed)
      end
      if lease then
        free_lease(window, id)
      else
        adjust(quota, window, difference, made, now)
      end
      lines[#lines + 1] = { quota = quota, account = account, window = window }
    end
  end
end

for _, line in ipairs(lines) do
  local quota, account, window = line.quota, line.account, line.window
  local packed, til = close_window(quota, window, now)
  account.records[quota.key] = not blank(quota, window) and packed or nil
  account.til = max(account.til, til)
end

-- First what frees memory, so that a full server lets the rest pass.
redis.call('DEL', reservation)
for n = 1, owners do
  local account = accounts[n]
  if account then
    account.open = max(0, account.open - 1)
    local last = account.records[LAST]
    account.records[LAST] = nil
    if account.open == 0 and next(account.records) == nil then
      redis.call('DEL', KEYS[n])
    else
      local probation = find(on_probation, char(n), 1, true)
      account.records[LAST] = last and not probation and '\1' .. sub(last, 2) or last
      write_account(KEYS[n], account, now, probation)
    end
  end
end
return late and 'L' or 'D'
