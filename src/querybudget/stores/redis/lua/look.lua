-- What all lines of buckets of a call say together, before any line is charged.

local function look_out(call, at, count, accounts, cells, now)
  local outlook = { price = MICRO, shadow_price = MICRO, stage = 0, shadow_stage = 0, delay = 0 }
  local sights = {}
  for n = 1, count do
    local owner, shadow, amount, least
    owner, shadow, amount, least, at = unpack('>BBI8I8', call, at)
    local text = ARGV[n + 2]
    if byte(text, 1) == 98 then
      local quota, account = read_quota(text), accounts[owner]
      local o = open_buckets(account.records[quota.key])
      local sight = look(quota, o, account, cells, amount, now)
      sight.quota, sight.buckets, sight.account, sight.weight = quota, o, account, amount
      sights[n] = sight
      local found = sight.refuses and REFUSE or sight.stage
      if shadow > 0 then
        outlook.shadow_price = max(outlook.shadow_price, sight.price)
        outlook.shadow_stage = max(outlook.shadow_stage, found)
      else
        outlook.price = max(outlook.price, sight.price)
        if found > 0 then
          local response = quota.response
          outlook.stage = max(outlook.stage, found)
          outlook.delay = max(outlook.delay, response and pause_at(response, sight.strain) or 0)
        end
      end
    end
  end
  return outlook, sights
end

-- The reasons of the highest score that brought about a stage.
local function why_of(outlook, sights)
  local why, most = '', -1
  if outlook.stage > 0 or outlook.shadow_stage > 0 then
    for n = 1, table.maxn(sights) do
      local sight = sights[n]
      if sight and sight.stage > 0 and sight.score == sight.strain and sight.score > most then
        most, why = sight.score, reasons_of(sight.account)
      end
    end
  end
  return why
end
