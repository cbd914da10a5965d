-- Takes the locks of several seats, all or none, atomically.
-- KEYS: seat:lock:{scheduleId}:{seatNumber}, one a seat
-- ARGV[1]: hold id   ARGV[2]: time to live, ms
-- Returns the positions (from 1) of the keys that another hold has; empty when all are ours now.
local taken = {}
for i, key in ipairs(KEYS) do
  local owner = redis.call('GET', key)
  if owner and owner ~= ARGV[1] then
    taken[#taken + 1] = i
  end
end
if #taken == 0 then
  for _, key in ipairs(KEYS) do
    redis.call('SET', key, ARGV[1], 'PX', ARGV[2])
  end
end
return taken
