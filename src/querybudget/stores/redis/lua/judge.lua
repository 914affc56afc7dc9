-- Store a pool's score.
--
-- KEYS  the pool's account
-- ARGV  1  now (0: the server's time), the score, calls scored, number of lines
--       2  the reasons
--       3… the quota of each of its lines of buckets
--
-- Returns 1, or 0 if the pool is gone. What is left of an earlier score falls slowly.

local now, found, judged, count = unpack('>I8I4I8B', ARGV[1])
now = clock(now)
local blob = redis.call('GET', KEYS[1])
local account = blob and read_account(blob)
local profile = account and account.records['']
if not profile then
  return 0
end
local _, _, version, length, at = unpack(PROFILE, profile)
at = at + length
if sub(profile, at, at) ~= 'p' then
  return 0
end
local since, members, before, from = unpack(POOL, profile, at + 1)
found = max(found, score_of(account, now) - SCORE_EASE)
local body = 'p' .. pack(POOL, since, members, max(before, judged)) .. sub(profile, from)
put_profile(account, found, now, version + 1, ARGV[2], body, now)
for n = 1, count do
  local quota = read_quota(ARGV[n + 2])
  local o = open_buckets(account.records[quota.key])
  if note_stage(quota, o, account, now) then
    account.records[quota.key] = close_buckets(quota, o, now)
  end
end
write_account(KEYS[1], account, now)
return 1
