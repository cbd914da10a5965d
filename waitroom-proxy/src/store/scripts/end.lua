-- END: leave, the origin's end, an operator's revoke. For good: the ticket is spent, the session stays ended.
-- ARGV  gen, life, n (1..1000), then n x (vid, seq)
--       seq 0: whatever this visitor has now; otherwise only what stands under exactly this seq, so that a
--       late repeat does not hit the visitor's next ticket
-- reply {'LOST'} | {'GEN', gen, life} | {'OK', how many were taken out (0 on repeat)}
-- refusals BATCH, ARG, SPAN.   atomic: the whole batch. Sets spent and ended bits even if nothing was there.
local state, refusal = load_state()
if not state then return refusal end
local count = whole(ARGV[3], 1, MAX_BATCH)
if not count or #ARGV ~= 3 + 2 * count then return refuse_batch() end
local highest = 0
for i = 1, count do
  local seq = whole(ARGV[3 + 2 * i], 0, LARGEST)
  if not seq then return refuse_argument('seq of visitor ' .. i) end
  if seq - state.base >= BIT_WINDOW then return refuse_span(seq) end
  highest = math.max(highest, seq)
end
outrun(state, highest)

local function mark(seq)
  if seq < state.base then return end
  redis.call('SETBIT', SPENT_BITS, seq - state.base, 1)
  redis.call('SETBIT', ENDED_BITS, seq - state.base, 1)
end

local taken_out = 0
for i = 1, count do
  local vid, ticket = ARGV[2 + 2 * i], tonumber(ARGV[3 + 2 * i])
  local waiting_seq, known_seq = score(WAITING, vid), seq_of(vid)
  if waiting_seq and (ticket == 0 or ticket == waiting_seq) then
    leave_line(state, vid, waiting_seq)
    mark(waiting_seq)
    taken_out = taken_out + 1
  end
  if known_seq and (ticket == 0 or ticket == known_seq) then
    redis.call('ZREM', GRANTED, vid)
    drop_numbered(ACTIVE, vid)
    mark(known_seq)
    taken_out = taken_out + 1
  end
  if ticket > 0 then mark(ticket) end
end
return {'OK', taken_out}
