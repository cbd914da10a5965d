-- Takes the locks of several seats, all or none, atomically.
-- KEYS: seat:lock:{scheduleId}:{seatNumber}, one a seat
-- ARGV[1]: owner, a hold id or "hold id:mark"   ARGV[2]: time to live, ms
-- Returns the positions (from 1) of the keys that another owner has; empty when all are ours now; {0} when an
-- owner of the same mark has one: an earlier request of the same user with the same idempotency key.
local mark = string.match(ARGV[1], ':(.+)$')
local taken = {}
for i, key in ipairs(KEYS) do
  local owner = redis.call('GET', key)
  if owner and owner ~= ARGV[1] then
    if mark and string.match(owner, ':(.+)$') == mark then
      return {0}
    end
    taken[#taken + 1] = i
  end
end
if #taken == 0 then
  for _, key in ipairs(KEYS) do
    redis.call('SET', key, ARGV[1], 'PX', ARGV[2])
  end
end
return taken
