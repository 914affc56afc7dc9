-- From strain to a price and a stage, as querybudget.coverage.response has it.

local REFUSE = 3

-- What follows from spending a line's buckets; nil where they are only counted.
local function read_response(quota)
  local response = quota.response
  if response == nil then
    local text, at = quota.text, quota.more
    response = false
    if byte(text, at) == 1 then
      local scored, delay, count
      scored, delay, count, at = unpack('>BI7B', text, at + 1)
      local stages = {}
      for n = 1, count do
        local stage, begin
        stage, begin, at = unpack('>BI4', text, at)
        stages[n] = { stage, begin }
      end
      response = { scored = scored == 1, delay = delay, stages = stages, prices = at }
    end
    quota.response = response
  end
  return response
end

local function price_at(quota, strain)
  local percent = min(floor(strain / 10000), 100)
  return (unpack('>I4', quota.text, quota.response.prices + 4 * percent))
end

local function end_of(begin)
  return begin - min(EASE, floor(begin / 2))
end

local function stage_at(response, strain, before)
  local found = 0
  for _, stage in ipairs(response.stages) do
    if strain >= (stage[1] > before and stage[2] or end_of(stage[2])) then
      found = stage[1]
    end
  end
  return found
end

local function begin_of(response, wanted, before)
  for _, stage in ipairs(response.stages) do
    if stage[1] == wanted then
      return wanted > before and stage[2] or end_of(stage[2])
    end
  end
  return MOST
end

local function milder_than(response, severe)
  local found = 0
  for _, stage in ipairs(response.stages) do
    if stage[1] < severe then
      found = max(found, stage[1])
    end
  end
  return found
end

local function pause_at(response, strain)
  for _, stage in ipairs(response.stages) do
    if stage[1] == 1 then
      local least = floor(response.delay / 4)
      if strain >= MICRO then
        return response.delay
      elseif strain <= stage[2] then
        return least
      end
      return least + floor((response.delay - least) * (strain - stage[2]) / (MICRO - stage[2]))
    end
  end
  return 0
end

-- What is left of an account's score: found, at and the rest of its profile.
local function score_of(account, now)
  local profile = account and account.records['']
  if not profile then
    return 0
  end
  local found, at = unpack('>I4I7', profile)
  return max(0, found - floor(max(0, now - at) / FALL))
end

local PROFILE = '>I4I7I4I2'

local function reasons_of(account)
  local profile = account.records['']
  if not profile then
    return ''
  end
  local _, _, _, length, at = unpack(PROFILE, profile)
  return sub(profile, at, at + length - 1)
end

local function strain_of(quota, o)
  return (divided(o.total, MICRO, quota.size))
end

-- One line of buckets for a call: what is left, what is new, strain, stage and price.
local function evaluate_line(quota, o, account, cells, weight, now)
  local left, novelty = bucket_room(quota, o, now), 0
  if #cells > FEW and #o.pending > 0 then
    index_pending(o)
  end
  for _, cell in ipairs(cells) do
    local known = weight_of(o, cell)
    if known < weight then
      novelty = novelty + weight - known
    end
  end
  local strain = strain_of(quota, o)
  local line = { left = left, novelty = novelty, strain = strain }
  line.score, line.stage, line.next_stage = 0, 0, 0
  local response = read_response(quota)
  line.price = MICRO
  if response then
    local score = response.scored and score_of(account, now) or 0
    strain = max(strain, score)
    local stage = stage_at(response, strain, o.stage)
    line.next_stage = stage
    if stage == REFUSE and novelty == 0 and score < begin_of(response, REFUSE, o.stage) then
      stage = milder_than(response, REFUSE)
    end
    line.strain, line.score, line.stage = strain, score, stage
    line.price = price_at(quota, strain)
  end
  line.refuses = novelty > left or line.stage == REFUSE
  return line
end
