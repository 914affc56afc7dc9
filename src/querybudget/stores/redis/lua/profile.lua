-- An account's record without a name is its profile: the last score, its time, a version that counts
-- every change, the reasons, then the body. An identity's body (i) only the client can read. A pool's
-- (p) is when it was opened, its members, its calls at its last score, and its sums. Many clients add
-- to one pool at once, so what a call adds is added here.

local POOL = '>I7I4I7'

local function version_of(account)
  local profile = account.records['']
  if not profile then
    return 0
  end
  local _, _, version = unpack(PROFILE, profile)
  return version
end

local function put_profile(account, found, at, version, why, body, now)
  account.records[''] = pack(PROFILE, found, at, version % 4294967296, #why) .. why .. body
  account.til = max(account.til, now + PERIOD)
end

-- Add a call's step to a pool; its members and sums where it is time to judge it, else nil.
local function add_step(account, first, step, now)
  local found, at, version, why = 0, 0, 0, ''
  local since, members, judged, sums = now, 0, 0, nil
  local integers = '>' .. rep('i8', #step)
  local profile = account.records['']
  if profile then
    local length, from
    found, at, version, length, from = unpack(PROFILE, profile)
    why = sub(profile, from, from + length - 1)
    from = from + length
    if sub(profile, from, from) == 'p' then
      since, members, judged, from = unpack(POOL, profile, from + 1)
      sums = { unpack(integers, profile, from) }
      sums[#sums] = nil
    end
  end
  if not sums or now - since > PERIOD then
    since, members, judged, sums = now, 0, 0, {}
    for n = 1, #step do
      sums[n] = 0
    end
  end
  if first or members == 0 then
    members = members + 1
  end
  for n = 1, #step do
    sums[n] = sums[n] + step[n]
  end
  local packed = pack(integers, unpack_table(sums))
  put_profile(account, found, at, version + 1, why, 'p' .. pack(POOL, since, members, judged) .. packed, now)
  if sums[1] * 4 >= judged * 5 or (found > 0 and now - at >= HOUR) then
    return pack('>I4', members) .. packed
  end
  return nil
end

-- Store the stage of a line of buckets, whose strain may have risen.
local function note_stage(quota, o, account, now)
  local response = read_response(quota)
  if not response or #response.stages == 0 then
    return false
  end
  bucket_room(quota, o, now)
  local strain = max(strain_of(quota, o), response.scored and score_of(account, now) or 0)
  o.stage = stage_at(response, strain, o.stage)
  return true
end
