-- MERGE_BITS: after RECOVER a node gives back the spent or ended bits that it remembers.
-- ARGV  gen, life, which ('spent' | 'ended'), seq of the first bit (a multiple of 8), bytes (at most 1 MiB a call)
-- reply {'LOST'} | {'GEN', gen, life} | {'OK', bits newly set, taken out of the line, turns and sessions dropped}
-- refusals BATCH, ARG, SPAN.   atomic: all. Repeating changes nothing. What lies below base is dropped.
-- Whoever waits with such a bit is taken out of the line; for ended also out of granted and active.
local state, refusal = load_state()
if not state then return refusal end
local key = ({spent = SPENT_BITS, ended = ENDED_BITS})[ARGV[3]]
local first, bytes = whole(ARGV[4], 0, LARGEST), ARGV[5]
if not key or not first or first % 8 ~= 0 or not bytes then return refuse_argument('which bits, or their first seq') end
if #bytes > 1048576 then return refuse_batch('a call takes 1 MiB of bits') end
if first < state.base then
  bytes = string.sub(bytes, (state.base - first) / 8 + 1)
  first = state.base
end
local length = #bytes
while length > 0 and string.byte(bytes, length) == 0 do length = length - 1 end
if length == 0 then return {'OK', 0, 0, 0} end
bytes = string.sub(bytes, 1, length)
if first + length * 8 - state.base >= BIT_WINDOW then return refuse_span(first) end

local before = redis.call('BITCOUNT', key)
redis.call('DEL', SCRATCH)
redis.call('SETRANGE', SCRATCH, (first - state.base) / 8, bytes)
redis.call('BITOP', 'OR', key, key, SCRATCH)
local newly_set = redis.call('BITCOUNT', key) - before

local left_line, dropped = 0, 0
redis.call('BITOP', 'AND', SCRATCH, SCRATCH, WAITING_BITS)
local bit = redis.call('BITPOS', SCRATCH, 1)
while bit >= 0 do
  local seq = format_whole(state.base + bit)
  left_line = left_line + redis.call('ZREMRANGEBYSCORE', WAITING, seq, seq)
  redis.call('SETBIT', WAITING_BITS, bit, 0)
  redis.call('SETBIT', SCRATCH, bit, 0)
  bit = redis.call('BITPOS', SCRATCH, 1, math.floor(bit / 8))
end
redis.call('DEL', SCRATCH)

if ARGV[3] == 'ended' and newly_set > 0 then
  for _, members in ipairs({GRANTED, ACTIVE}) do
    each_numbered(members, function(vid, seq)
      if has_ended(state, seq) then drop_numbered(members, vid); dropped = dropped + 1 end
    end)
  end
end

-- Somebody had the highest of these numbers.
local last_byte, zeros = string.byte(bytes, -1), 0
while last_byte % 2 == 0 do last_byte = last_byte / 2; zeros = zeros + 1 end
outrun(state, first + length * 8 - 1 - zeros)
return {'OK', newly_set, left_line, dropped}
