-- TRIM: moves base up so that the bitmaps stay as small as the line.
-- ARGV  gen, life, keep (numbers kept below the head: at least rate x the longest life of a queue token, or
--       absence to forgive), at_least (do nothing unless the head is this far above base)
-- reply {'LOST'} | {'GEN', gen, life} | {'OK', base, bytes dropped from each bitmap (0: nothing to do)}
-- refusals ARG.   atomic: all three bitmaps and base. Tickets below base are void from then on.
local state, refusal = load_state()
if not state then return refusal end
local keep, at_least = whole(ARGV[3], 0, LARGEST), whole(ARGV[4], 0, LARGEST)
if not keep or not at_least then return refuse_argument('keep or at_least') end
local front = head() or state.seq
local base = math.floor((math.min(front, state.wm) - keep) / 8) * 8
if front - state.base < at_least or base <= state.base then return {'OK', state.base, 0} end
local cut = (base - state.base) / 8
rebase(state, base)
save_state(state, 'base')
return {'OK', base, cut}
