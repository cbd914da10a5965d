-- RESET: a new generation; line, turns, sessions and numbers are gone. The bucket, pause and hold go on, so that
-- it is no second burst, and the life stays.
-- ARGV  gen (the one to end), life
-- reply {'LOST'} | {'GEN', gen, life} (also the answer to a repeat: already done) | {'OK', new gen, life}
-- atomic: all. seq starts at 1, not 0, so that a node that saw the new generation counts as knowing it.
local state, refusal = load_state()
if not state then return refusal end
drop_everything()
state.gen = state.gen + 1
state.seq, state.base, state.floor, state.adm, state.wm, state.cold = 1, 0, 1, 0, 0, 0
save_state(state, 'gen', 'life', 'seq', 'base', 'floor', 'adm', 'wm', 'tok', 'last', 'hold', 'pause', 'cold', 'rid')
return {'OK', state.gen, state.life}
