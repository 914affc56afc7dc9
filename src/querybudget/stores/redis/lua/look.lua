-- The decision that all lines of buckets of a call make together, before any line is charged.

local function evaluate(call, at, count, accounts, cells, now)
  local decision = { price = MICRO, shadow_price = MICRO, stage = 0, shadow_stage = 0, delay = 0 }
  local bucket_lines = {}
  for n = 1, count do
    local owner, shadow, amount, minimum
    owner, shadow, amount, minimum, at = unpack('>BBI8I8', call, at)
    local text = ARGV[n + 2]
    if byte(text, 1) == 98 then
      local quota, account = read_quota(text), accounts[owner]
      local o = open_buckets(account.records[quota.key])
      local line = evaluate_line(quota, o, account, cells, amount, now)
      line.quota, line.buckets, line.account, line.weight = quota, o, account, amount
      bucket_lines[n] = line
      local found = line.refuses and REFUSE or line.stage
      if shadow > 0 then
        decision.shadow_price = max(decision.shadow_price, line.price)
        decision.shadow_stage = max(decision.shadow_stage, found)
      else
        decision.price = max(decision.price, line.price)
        if found > 0 then
          local response = quota.response
          decision.stage = max(decision.stage, found)
          decision.delay = max(decision.delay, response and pause_at(response, line.strain) or 0)
        end
      end
    end
  end
  return decision, bucket_lines
end

-- The reasons of the highest score that brought about a stage.
local function reasons_for(decision, bucket_lines)
  local reasons, most = '', -1
  if decision.stage > 0 or decision.shadow_stage > 0 then
    for n = 1, table.maxn(bucket_lines) do
      local line = bucket_lines[n]
      if line and line.stage > 0 and line.score == line.strain and line.score > most then
        most, reasons = line.score, reasons_of(line.account)
      end
    end
  end
  return reasons
end
