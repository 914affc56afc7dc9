-- Replace what is held by what was used: querybudget.ledger.settle as one script.
--
-- keys  the accounts, then the reservation
-- args  1  now (0: the server's time), id, number of lines; for each line: the number of its account,
--          amount, priced; then the numbers of the accounts on probation, a byte each
--       2… the quota of each line
--
-- Returns D done, L late or N not known (any more). Or C as `reserve` does.

-- The new record of a line's window, nil if nothing is used, and when it stops mattering. Without the
-- latter its calendar's list is too short.
local function corrected(quota, record, amount, id, made, now)
  local kind = quota.kind
  if kind == 's' then
    return correct_slots(quota, record, amount, made, now)
  elseif kind == 'l' then
    return correct_level(quota, record, amount, now)
  elseif kind == 'c' then
    return correct_leases(record, id, now)
  end
  local start, used, owed = open_period(quota, record, now)
  if not start then
    return pack('>I8I8', used, owed), nil
  end
  return correct_period(quota, start, used, amount, made, now)
end

local function settle(keys, args)
  local call = args[1]
  local now, id, count, at = unpack('>I8c12B', call)
  now = clock(now)
  local owners, reservation = #keys - 1, keys[#keys]

  local kept = redis.call('GET', reservation)
  if not kept then
    return 'N'
  end
  local forgotten, made, expires, _, from = unpack('>I8I8I8I8', kept)
  if forgotten <= now then
    redis.call('DEL', reservation)
    return 'N'
  end
  local accounts, known
  accounts, known, from = read_charged(keys, owners, kept, from)
  if not known then
    redis.call('DEL', reservation)
    return 'N'
  end

  local late = now >= expires
  for n = 1, count do
    local owner, amount, held
    owner, amount, at = unpack('>BI8', call, at)
    held, from = unpack('>i8', kept, from)
    local account = accounts[owner]
    if account and held >= 0 then
      local quota, difference = read_quota(args[n + 1]), amount - held
      if quota.kind == 'c' or difference > 0 or (difference ~= 0 and not late) then
        local key = quota.key
        local record, til = corrected(quota, account.records[key], difference, id, made, now)
        if not til then
          return 'C' .. pack('>I8', now) .. record
        end
        account.records[key] = record
        account.til = max(account.til, til)
      end
    end
  end

  -- First what frees memory, so that a full server lets the rest pass.
  redis.call('DEL', reservation)
  local on_probation = sub(call, at)
  for n = 1, owners do
    local account = accounts[n]
    if account then
      local records = account.records
      account.open = max(0, account.open - 1)
      local last = records[LAST]
      records[LAST] = nil
      if account.open == 0 and next(records) == nil then
        redis.call('DEL', keys[n])
      else
        local probation = on_probation ~= '' and find(on_probation, char(n), 1, true)
        records[LAST] = last and not probation and '\1' .. sub(last, 2) or last
        write_account(keys[n], account, now, probation)
      end
    end
  end
  return late and 'L' or 'D'
end
