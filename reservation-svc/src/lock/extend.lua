-- Makes the locks of a hold last as long as the hold, atomically. A lock that was lost is taken again
-- when nobody else has it, and so is one of an owner of the same mark: one idempotency key makes one hold, and this
-- is the one. A lock of somebody else is left alone.
-- KEYS: seat:lock:{scheduleId}:{seatNumber}, one a seat
-- ARGV[1]: owner, a hold id or "hold id:mark"   ARGV[2]: time to live from now, ms
-- Returns how many locks are ours.
local mark = string.match(ARGV[1], ':(.+)$')
local ours = 0
for _, key in ipairs(KEYS) do
  local owner = redis.call('GET', key)
  if not owner or owner == ARGV[1] or (mark and string.match(owner, ':(.+)$') == mark) then
    redis.call('SET', key, ARGV[1], 'PX', ARGV[2])
    ours = ours + 1
  end
end
return ours
