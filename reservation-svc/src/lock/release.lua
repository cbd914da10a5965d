-- Compare-and-delete: removes the locks that this hold has, atomically, and no others.
-- KEYS: seat:lock:{scheduleId}:{seatNumber}, one a seat
-- ARGV[1]: hold id
-- Returns how many were removed.
local removed = 0
for _, key in ipairs(KEYS) do
  if redis.call('GET', key) == ARGV[1] then
    removed = removed + redis.call('DEL', key)
  end
end
return removed
