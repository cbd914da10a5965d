-- PAUSE, RESUME: stops or allows grants and the fast lane; joins, claims and touches go on.
-- ARGV  gen, life, want (1 pause | 0 resume), seen_pause (what this node remembers; 0 nothing)
-- reply {'LOST'} | {'GEN', gen, life} | {'OK', pause}
--       pause is a counter, odd = paused: after a loss the later order wins (RECOVER takes the larger)
-- refusals ARG.   atomic. A repeat changes nothing.
local state, refusal = load_state()
if not state then return refusal end
local want, seen_pause = whole(ARGV[3], 0, 1), whole(ARGV[4], 0, LARGEST)
if not want or not seen_pause then return refuse_argument('want or seen_pause') end
state.pause = math.max(state.pause, seen_pause)
if state.pause % 2 ~= want then state.pause = state.pause + 1 end
save_state(state, 'pause')
return {'OK', state.pause}
