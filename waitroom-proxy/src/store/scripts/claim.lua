-- CLAIM: a granted turn becomes a session.
-- ARGV  gen, life, session_ms, renew (0|1), n (1..1000), then n x (vid, seq, proof)
--       seq 0: not known (only without proof).   proof 1: the caller verified an unexpired queue token for
--       exactly this vid, seq and epoch
-- reply {'LOST'} | {'GEN', gen, life} | {'OK', (code, seq, expiry_ms, began_ms) x n}
--       A session | W still waiting | X no: turn missed, session over, ended
-- refusals BATCH, ARG, SPAN.   atomic: the whole batch. Repeated: the same answer, expiry and beginning
-- (renew 1: extended, never shortened).
-- Proof brings back a session that the store lost and takes the visitor out of the line, unless it was
-- ended, or seq < base: there nobody knows any more whether it was ended, so the answer is no.
local state, refusal = load_state()
if not state then return refusal end
local count = whole(ARGV[5], 1, MAX_BATCH)
if not count or #ARGV ~= 5 + 3 * count then return refuse_batch() end
local session_ms = whole(ARGV[3], 1, LARGEST)
if not session_ms then return refuse_argument('session_ms') end
local renew = ARGV[4] == '1'
local highest = 0
for i = 1, count do
  local seq = whole(ARGV[4 + 3 * i], 0, LARGEST)
  if not seq or (seq == 0 and ARGV[5 + 3 * i] == '1') then return refuse_argument('seq of visitor ' .. i) end
  if seq - state.base >= BIT_WINDOW then return refuse_span(seq) end
  highest = math.max(highest, seq)
end
outrun(state, highest)

local _, now_ms = clock()
local new_expiry = now_ms + session_ms

local function claim(vid, ticket, proof)
  if ticket > 0 and has_ended(state, ticket) then return 'X', ticket, 0, 0 end
  local expiry, deadline = score(ACTIVE, vid), score(GRANTED, vid)
  if expiry and expiry >= now_ms then
    if renew and new_expiry > expiry then
      redis.call('ZADD', ACTIVE, format_whole(new_expiry), vid)
      expiry = new_expiry
    end
    local seq, began_ms = numbered_of(vid)
    return 'A', seq or ticket, expiry, began_ms or now_ms
  end
  local has_turn = deadline and deadline >= now_ms
  if has_turn or (proof and ticket >= state.base) then
    local seq = has_turn and seq_of(vid) or ticket
    seat(state, vid, seq, new_expiry, now_ms)
    return 'A', seq, new_expiry, now_ms
  end
  local waiting_seq = score(WAITING, vid)
  if waiting_seq then return 'W', waiting_seq, 0, 0 end
  return 'X', ticket, 0, 0
end

local reply = {'OK'}
for i = 1, count do
  local code, seq, expiry, began_ms = claim(ARGV[3 + 3 * i], tonumber(ARGV[4 + 3 * i]), ARGV[5 + 3 * i] == '1')
  reply[#reply + 1] = code; reply[#reply + 1] = seq; reply[#reply + 1] = expiry; reply[#reply + 1] = began_ms
end
return reply
