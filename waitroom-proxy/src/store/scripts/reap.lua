-- REAP: visitors who went silent leave the line. The ticket stays good: JOIN puts them back at the old seq.
-- ARGV  gen, life, n (1..1000), then n x seq
-- reply {'LOST'} | {'GEN', gen, life} | {'OK', how many were removed (0 on repeat)}
-- refusals BATCH, ARG.   atomic: the whole batch.
local state, refusal = load_state()
if not state then return refusal end
local count = whole(ARGV[3], 1, MAX_BATCH)
if not count or #ARGV ~= 3 + count then return refuse_batch() end
for i = 1, count do
  if not whole(ARGV[3 + i], 1, LARGEST) then return refuse_argument('seq ' .. i) end
end
local removed = 0
for i = 4, 3 + count do
  if redis.call('ZREMRANGEBYSCORE', WAITING, ARGV[i], ARGV[i]) > 0 then
    redis.call('SETBIT', WAITING_BITS, tonumber(ARGV[i]) - state.base, 0)
    removed = removed + 1
  end
end
return {'OK', removed}
