-- TICK: refills the bucket, sweeps the overdue, gives turns to the head of the line. Any node, any time.
-- ARGV  gen, life, rate per s, burst, cap on granted + active (0 none), max_batch (1..5000),
--       claim_ms (time to claim a turn), seen_adm, seen_wm, seen_seq
-- reply {'LOST'} | {'GEN', gen, life} | {'OK', granted now, wm, adm, granted + active (not overdue), waiting,
--       head (seq of the first in line, 0 none), rolled back 0|1, hold_ms left, seq, base, floor, pause, now_ms}
-- refusals BATCH (max_batch), ARG.   atomic: all of it. Repeating is safe: tokens are paid once.
-- Sweeps at most 5000 overdue turns and 5000 overdue sessions a call; the others do not count against
-- the cap either. The ticket is not spent here (CLAIM does that). Rolled back: adm is behind seen_adm, or
-- another replication id; the bucket is emptied, and the caller should RECOVER and MERGE_BITS.
local SWEEP = 5000
local state, refusal = load_state()
if not state then return refusal end
local max_batch = whole(ARGV[6], 1, 5000)
if not max_batch then return refuse_batch('a tick grants 1 to 5000') end
local rate, burst, cap = amount(ARGV[3]), amount(ARGV[4]), whole(ARGV[5], 0, LARGEST)
local claim_ms = whole(ARGV[7], 1, LARGEST)
local seen_adm, seen_wm, seen_seq = whole(ARGV[8], 0, LARGEST), whole(ARGV[9], 0, LARGEST), whole(ARGV[10], 0, LARGEST)
if not (rate and burst and cap and claim_ms and seen_adm and seen_wm and seen_seq) then return refuse_argument('limits or seen') end

local now_us, now_ms = clock()
local rolled_back = refill(state, rate, burst, seen_seq, seen_adm, now_us)
state.wm = math.max(state.wm, seen_wm)

for _, key in ipairs({GRANTED, ACTIVE}) do
  local overdue = redis.call('ZRANGE', key, '-inf', '(' .. format_whole(now_ms), 'BYSCORE', 'LIMIT', 0, SWEEP)
  for first = 1, #overdue, 1000 do
    local last = math.min(first + 999, #overdue)
    redis.call('ZREM', key, unpack(overdue, first, last))
    redis.call('HDEL', SEQS, unpack(overdue, first, last))
  end
end

local in_use = occupied(now_ms)
local wanted = math.min(math.floor(state.tok), max_batch)
if cap > 0 then wanted = math.min(wanted, cap - in_use) end
local granted_now = 0
if wanted > 0 and is_open(state, now_us) then
  local popped = redis.call('ZPOPMIN', WAITING, wanted)   -- vid, seq, vid, seq, ...
  granted_now = #popped / 2
  local deadline = format_whole(now_ms + claim_ms)
  for first = 1, #popped, 2000 do
    local turns, numbers, bits = {}, {}, {}
    for i = first, math.min(first + 1999, #popped), 2 do
      local vid, seq = popped[i], tonumber(popped[i + 1])
      turns[#turns + 1] = deadline; turns[#turns + 1] = vid
      numbers[#numbers + 1] = vid; numbers[#numbers + 1] = format_whole(seq)
      bits[#bits + 1] = 'SET'; bits[#bits + 1] = 'u1'; bits[#bits + 1] = seq - state.base; bits[#bits + 1] = 0
      state.wm = math.max(state.wm, seq)
    end
    redis.call('ZADD', GRANTED, unpack(turns))
    redis.call('HSET', SEQS, unpack(numbers))
    redis.call('BITFIELD', WAITING_BITS, unpack(bits))
  end
  state.tok = state.tok - granted_now
  state.adm = state.adm + granted_now
end
save_state(state, 'seq', 'last', 'tok', 'adm', 'wm', 'rid')
return {'OK', granted_now, state.wm, state.adm, in_use + granted_now, redis.call('ZCARD', WAITING), head() or 0,
  rolled_back and 1 or 0, hold_left_ms(state, now_us), state.seq, state.base, state.floor, state.pause, now_ms}
