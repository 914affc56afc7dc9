-- Charge every line of a call, or none: querybudget.ledger.reserve as one step.
--
-- KEYS  the accounts, then the reservation
-- ARGV  1  now (0: the server's time), hold, price, how the price is meant, id, its short name,
--          and for each line: the number of its account, 1 in shadow or 2 to be left alone, amount,
--          least
--       2  the buckets that the call would visit, two bytes each
--       3… what each line says of its quota
--
-- Answers one string that begins with
--   A  admitted: now, price, stage, delay, shadow price, shadow stage, for each line what is held
--      and left, when nothing is used, and strain; then the reasons of a stage
--   F  admitted, and more has to be said than A can: some shadow line would refuse, say
--   R  refused; nothing is changed
--      Both with now and the accounts as they were found: the client has the ledger say the rest.
--   D  reserved before, by this id: the reservation, and the accounts as they are
--   C  a calendar's list of periods does not reach far enough: now, a moment that it has to reach,
--      and for how many periods from there on

local CALL = '>I8I8I8BBc12c6'
local ASKED = '>BBI8I8'

local accounts_count = #KEYS - 1
local reservation = KEYS[#KEYS]
local now, hold, price, fixed, count, id, gen, at = unpack(CALL, ARGV[1])
now = clock(now)

local blobs, accounts = {}, {}
for n = 1, accounts_count do
  blobs[n] = redis.call('GET', KEYS[n])
end

local function full(kind, more)
  for n = 1, accounts_count do
    blobs[n] = blobs[n] or ''
  end
  return { kind .. pack('>I8', now) .. (more or ''), unpack_table(blobs) }
end

local before = redis.call('GET', reservation)
if before then
  return full('D', before)
end
for n = 1, accounts_count do
  accounts[n] = blobs[n] and read_account(blobs[n]) or new_account(gen, now)
end

local lines, cells, unsure = {}, nil, false
local outlook = { price = MICRO, shadow_price = MICRO, stage = 0, shadow_stage = 0, delay = 0 }
if SEEN then
  cells = cells_of(ARGV[2])
end

-- Every line's quota and window, and what the lines of buckets say of the price.
for n = 1, count do
  local owner, shadow, amount, least
  owner, shadow, amount, least, at = unpack(ASKED, ARGV[1], at)
  local quota, account = read_quota(ARGV[n + 2]), accounts[owner]
  local line = { quota = quota, account = account, shadow = shadow > 0, alone = shadow == 2, amount = amount, least = least }
  lines[n] = line
  local record = account.records[quota.key]
  if SEEN and quota.kind == 'b' then
    local o = open_buckets(record)
    local sight = look(quota, o, account, cells, amount, now)
    line.window, line.sight = o, sight
    local found = sight.refuses and REFUSE or sight.stage
    if line.shadow then
      outlook.shadow_price = max(outlook.shadow_price, sight.price)
      outlook.shadow_stage = max(outlook.shadow_stage, found)
    else
      outlook.price = max(outlook.price, sight.price)
      if found > 0 then
        outlook.stage = max(outlook.stage, found)
        local response = quota.response
        outlook.delay = max(outlook.delay, response and pause_at(response, sight.strain) or 0)
      end
    end
  else
    local window = open_window(quota, record, now)
    if window.stale then
      return full('C', pack('>I8I8', window.stale, window.owed))
    end
    line.window = window
  end
end
local total = fixed == 1 and price or priced(price, outlook.price)

local skip, refused = false, false
for n = 1, count do
  local line = lines[n]
  local short
  if line.sight then
    short = line.sight.refuses
  elseif line.quota.kind == 'c' then
    short = line.window.room < line.least
  else
    short = line.window.room < priced(line.least, total)
  end
  if short then
    if not line.shadow then
      refused = true
    elseif not line.alone then
      skip = true
    end
  end
end
if refused then
  return full('R')
end

-- All fit.
local expires = now + hold
local out, held = {}, {}
for n = 1, count do
  local line = lines[n]
  local quota, window, account, sight = line.quota, line.window, line.account, line.sight
  local taken, left, reset, strain = -1, 0, 0, 0
  if not (line.alone or skip and line.shadow) then
    local record, til
    if sight then
      taken, left, strain = sight.novelty, sight.left - sight.novelty, sight.strain
      take_buckets(quota, window, id, cells, line.amount, taken, now, expires)
      window.stage = sight.begun
      reset = bucket_reset(quota, window, now)
      record, til = close_buckets(quota, window, now)
    else
      taken = line.amount
      if quota.kind == 'c' then
        take_lease(window, id, expires)
      else
        taken = min(priced(taken, total), window.room)
        charge(quota, window, taken, now)
      end
      left = window.room - taken
      reset = reset_of(quota, window, now)
      unsure = unsure or reset < 0
      record, til = close_window(quota, window, now)
    end
    account.records[quota.key] = record
    account.til = max(account.til, til)
  end
  held[n] = pack('>i8', taken)
  out[n] = pack('>i8i8i8I8', taken, left, reset, strain)
end

local forgotten = expires + GRACE
local gens = {}
for n = 1, accounts_count do
  local account = accounts[n]
  account.open = account.open + 1
  account.held = max(account.held, forgotten)
  gens[n] = account.gen
  write_account(KEYS[n], account, now)
end
local record = pack('>I8I8I8I8', forgotten, now, expires, total)
  .. table.concat(gens)
  .. table.concat(held)
redis.call('SET', reservation, record, 'PX', floor((hold + GRACE) / 1000) + 1000)

if skip or unsure then
  return full('F')
end
local why = ''
if SEEN and (outlook.stage > 0 or outlook.shadow_stage > 0) then
  local most = -1
  for n = 1, count do
    local sight = lines[n].sight
    if sight and sight.stage > 0 and sight.score == sight.strain and sight.score > most then
      most = sight.score
      why = reasons_of(lines[n].account)
    end
  end
end
return pack('>c1I8I8BI8I8B', 'A', now, total, outlook.stage, outlook.delay, outlook.shadow_price, outlook.shadow_stage)
  .. table.concat(out)
  .. why
