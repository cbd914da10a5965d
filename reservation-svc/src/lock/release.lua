-- Compare-and-delete: removes the locks that this hold has, atomically, and no others. Compared is the whole owner, or
-- the whole hold id where only that is known: no two requests have one.
-- KEYS: seat:lock:{scheduleId}:{seatNumber}, one a seat
-- ARGV[1]: owner, "hold id:mark", or a hold id, which stands for all its marks
-- Returns how many were removed.
local removed = 0
for _, key in ipairs(KEYS) do
  local owner = redis.call('GET', key)
  if owner and (owner == ARGV[1] or string.match(owner, '^([^:]+):') == ARGV[1]) then
    removed = removed + redis.call('DEL', key)
  end
end
return removed
