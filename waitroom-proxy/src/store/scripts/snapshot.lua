-- SNAPSHOT: what a node needs to answer polls, in one consistent picture. Writes nothing.
-- ARGV  gen ('' any epoch), life, what (sum of 1 waiting bits, 2 ended bits, 4 spent bits)
-- reply {'LOST'} | {'GEN', gen, life} | {'OK', gen, life, seq, base, floor, adm, wm, hold_ms left, pause, cold 0|1,
--       waiting, granted, active, now_ms, seq of the first waiting bit, waiting bytes (from the head of the line),
--       ended bytes (from base), spent bytes (from base)}
--       the counts include overdue entries that no tick has swept yet
-- atomic: all
local state = read_state()
if not state then return {'LOST'} end
if ARGV[1] ~= '' and (format_whole(state.gen) ~= ARGV[1] or format_whole(state.life) ~= ARGV[2]) then return other_epoch(state) end
local now_us, now_ms = clock()
local what = tonumber(ARGV[3])
local offset = math.max(0, math.floor(((head() or state.seq) - state.base) / 8))
local waiting, ended, spent = '', '', ''
if what % 2 >= 1 then waiting = redis.call('GETRANGE', WAITING_BITS, offset, -1) end
if what % 4 >= 2 then ended = redis.call('GET', ENDED_BITS) or '' end
if what % 8 >= 4 then spent = redis.call('GET', SPENT_BITS) or '' end
return {'OK', state.gen, state.life, state.seq, state.base, state.floor, state.adm, state.wm, hold_left_ms(state, now_us),
  state.pause, state.cold > now_us and 1 or 0, redis.call('ZCARD', WAITING), redis.call('ZCARD', GRANTED),
  redis.call('ZCARD', ACTIVE), now_ms, state.base + offset * 8, waiting, ended, spent}
