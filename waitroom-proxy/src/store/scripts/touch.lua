-- TOUCH: keeps sessions alive.
-- ARGV  gen, life, n (1..1000), then n x (vid, seq, session_ms, proof)
--       proof as in CLAIM; the session then ends session_ms from now, never earlier than before
-- reply {'LOST'} | {'GEN', gen, life} | {'OK', (code, seq, expiry_ms) x n}
--       A extended or brought back | X ended, or not there and no proof
-- refusals BATCH, ARG, SPAN.   atomic: the whole batch. Repeating it is harmless.
local state, refusal = load_state()
if not state then return refusal end
local count = whole(ARGV[3], 1, MAX_BATCH)
if not count or #ARGV ~= 3 + 4 * count then return refuse_batch() end
local highest = 0
for i = 1, count do
  local seq = whole(ARGV[1 + 4 * i], 1, LARGEST)
  if not seq or not whole(ARGV[2 + 4 * i], 1, LARGEST) then return refuse_argument('seq or session_ms of visitor ' .. i) end
  if seq - state.base >= BIT_WINDOW then return refuse_span(seq) end
  highest = math.max(highest, seq)
end
outrun(state, highest)

local _, now_ms = clock()

local function touch(vid, seq, new_expiry, proof)
  if has_ended(state, seq) then return 'X', seq, 0 end
  local expiry = score(ACTIVE, vid)
  if expiry and expiry >= now_ms then
    if new_expiry > expiry then redis.call('ZADD', ACTIVE, format_whole(new_expiry), vid) end
    return 'A', seq_of(vid) or seq, math.max(expiry, new_expiry)
  end
  if proof and seq >= state.base then
    seat(state, vid, seq, new_expiry)
    return 'A', seq, new_expiry
  end
  return 'X', seq, 0
end

local reply = {'OK'}
for i = 1, count do
  local vid, seq, session_ms, proof = ARGV[4 * i], tonumber(ARGV[1 + 4 * i]), tonumber(ARGV[2 + 4 * i]), ARGV[3 + 4 * i] == '1'
  local code, number, expiry = touch(vid, seq, now_ms + session_ms, proof)
  reply[#reply + 1] = code; reply[#reply + 1] = number; reply[#reply + 1] = expiry
end
return reply
