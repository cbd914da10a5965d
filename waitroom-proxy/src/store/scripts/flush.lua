-- FLUSH: empties the line. All tickets so far are void (floor = seq), unclaimed turns too; sessions stay.
-- ARGV  gen, life, seen_seq, nonce (one per order of the operator, so that a repeat does not flush those who
--       came since)
-- reply {'LOST'} | {'GEN', gen, life} | {'OK', floor, waiting dropped, turns dropped (0, 0 on repeat)}
-- refusals ARG.   atomic: all
local state, refusal = load_state()
if not state then return refusal end
local seen_seq, nonce = whole(ARGV[3], 0, LARGEST), ARGV[4]
if not seen_seq or not nonce or nonce == '' then return refuse_argument('seen_seq or nonce') end
if state.flushed == nonce then return {'OK', state.floor, 0, 0} end
outrun_seen(state, seen_seq)
local waiting = redis.call('ZCARD', WAITING)
local turns = redis.call('ZRANGE', GRANTED, 0, -1)
for first = 1, #turns, 1000 do redis.call('HDEL', SEQS, unpack(turns, first, math.min(first + 999, #turns))) end
redis.call('UNLINK', WAITING, GRANTED, WAITING_BITS)
state.floor, state.flushed = state.seq, nonce
save_state(state, 'seq', 'floor', 'flushed')
return {'OK', state.floor, waiting, #turns}
