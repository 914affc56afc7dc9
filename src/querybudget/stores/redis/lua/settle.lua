-- Replace what is held by what was used: querybudget.ledger.settle as one script.
--
-- KEYS  the accounts, then the reservation
-- ARGV  1  now (0: the server's time), what to do (S: everything; O: only observe, after another
--          client had changed the identity's profile), id, whether there is an update of profiles, the
--          version of the identity's profile that the new one was computed from, number of lines; for
--          each line: the number of its account, amount; then the numbers of the accounts on
--          probation, a byte each
--       2  accounts whose profiles observe the call, a byte each: the identity's (0: it is on another
--          server, which has observed the call), then its pools'
--       3  the identity's new profile: score, its time, reasons, body; empty if nothing changes
--       4  what the call adds to its pools: whether it is its identity's first, then the sums
--       5… the quota of each line
--
-- Returns D done, L late or N not known (any more); then o observed, c the profile was changed by
-- another client, - nothing to observe; now; then the pools whose score is due, each with the number
-- of its account, its members and sums. Or C as `reserve` does.

local now, task, id, answered, version, count, at = unpack('>I8c1c12BI4B', ARGV[1])
now = clock(now)
local owners = #KEYS - 1
local on_probation = sub(ARGV[1], at + 9 * count)
local reservation = KEYS[#KEYS]
local only_observe = task == 'O'

local record = not only_observe and redis.call('GET', reservation)
local forgotten, made, expires, price, from
if not only_observe then
  if not record then
    return 'N-' .. pack('>I8', now)
  end
  forgotten, made, expires, price, from = unpack('>I8I8I8I8', record)
  if forgotten <= now then
    redis.call('DEL', reservation)
    return 'N-' .. pack('>I8', now)
  end
end

local accounts, known = {}, false
for n = 1, owners do
  local blob = redis.call('GET', KEYS[n])
  local account = blob and read_account(blob)
  if record then
    if account and account.gen ~= sub(record, from, from + 5) then
      account = nil
    end
    from = from + 6
  end
  accounts[n] = account or false
  known = known or account
end
if not known then
  if record then
    redis.call('DEL', reservation)
  end
  return 'N-' .. pack('>I8', now)
end

local late = record and now >= expires
local lines = {}
for n = 1, count do
  local owner, amount
  owner, amount, at = unpack('>BI8', ARGV[1], at)
  local held = -1
  if record then
    held, from = unpack('>i8', record, from)
  end
  local account = accounts[owner]
  if account then
    local quota = read_quota(ARGV[n + 4])
    local line = { quota = quota, account = account, owner = owner }
    lines[#lines + 1] = line
    local kept = account.records[quota.key]
    if quota.kind == 'b' then
      line.buckets = open_buckets(kept)
      line.changed = held >= 0
      if held >= 0 and (amount > 0 or late) then
        visit_buckets(line.buckets, id)
      elseif held >= 0 then
        give_buckets_back(line.buckets, id)
      end
    elseif held >= 0 then
      local lease = quota.kind == 'c'
      local difference = lease and 0 or priced(amount, price) - held
      if lease or difference > 0 or (difference ~= 0 and not late) then
        local window = open_window(quota, kept, now)
        if window.stale then
          return 'C-' .. pack('>I8I8I8', now, window.stale, window.owed)
        end
        if lease then
          free_lease(window, id)
        else
          adjust(quota, window, difference, made, now)
        end
        line.window = window
      end
    end
  end
end

-- Let profiles observe the call.
local observed, due, pools = '-', '', {}
if SEEN and answered == 1 and not late and #ARGV[3] > 0 then
  local owner = byte(ARGV[2], 1)
  local identity = owner > 0 and accounts[owner]
  if identity and version_of(identity) ~= version then
    observed = 'c'
  elseif identity or owner == 0 then
    observed = 'o'
    if identity then
      local found, when, length, begin = unpack('>I4I8I2', ARGV[3])
      local why, body = sub(ARGV[3], begin, begin + length - 1), sub(ARGV[3], begin + length)
      put_profile(identity, found, when, version + 1, why, body, now)
    end
    local step = { unpack('>' .. rep('i8', (#ARGV[4] - 1) / 8), ARGV[4], 2) }
    step[#step] = nil
    for n = 2, #ARGV[2] do
      owner = byte(ARGV[2], n)
      local pool = accounts[owner]
      local found_due = pool and add_step(pool, byte(ARGV[4], 1) == 1, step, now)
      if found_due then
        pools[owner] = true
        due = due .. pack('>B', owner) .. found_due
      end
    end
  end
end

for _, line in ipairs(lines) do
  local quota, account, record, til = line.quota, line.account, nil, now
  if line.buckets then
    local o = line.buckets
    if observed ~= 'c' and not pools[line.owner] then
      line.changed = note_stage(quota, o, account, now) or line.changed
    end
    if line.changed then
      record, til = close_buckets(quota, o, now)
      if o.total == 0 and o.stage == 0 then
        record = nil
      end
    end
  elseif line.window then
    line.changed = true
    record, til = close_window(quota, line.window, now)
    if blank(quota, line.window) then
      record = nil
    end
  end
  if line.changed then
    account.records[quota.key] = record
    account.til = max(account.til, til)
  end
end

-- First what frees memory, so that a full server lets the rest pass.
if record then
  redis.call('DEL', reservation)
end
for n = 1, owners do
  local account = accounts[n]
  if account then
    if record then
      account.open = max(0, account.open - 1)
    end
    if account.open == 0 and next(account.records) == nil then
      redis.call('DEL', KEYS[n])
    else
      write_account(KEYS[n], account, now, find(on_probation, char(n), 1, true))
    end
  end
end
return (late and 'L' or 'D') .. observed .. pack('>I8', now) .. due
