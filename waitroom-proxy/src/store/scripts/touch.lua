-- TOUCH: keeps sessions alive.
-- ARGV  gen, life, n (1..1000), then n x (vid, seq, session_ms, proof, began_ms)
--       proof as in CLAIM; the session then ends session_ms from now, never earlier than before
--       began_ms: when it began by the proof, 0 it does not say; kept unless an earlier beginning is known
-- reply {'LOST'} | {'GEN', gen, life} | {'OK', (code, seq, expiry_ms, began_ms) x n}
--       A extended or brought back | X ended, or not there and no proof
-- refusals BATCH, ARG, SPAN.   atomic: the whole batch. Repeating it is harmless.
local state, refusal = load_state()
if not state then return refusal end
local count = whole(ARGV[3], 1, MAX_BATCH)
if not count or #ARGV ~= 3 + 5 * count then return refuse_batch() end
local highest = 0
for i = 1, count do
  local seq = whole(ARGV[5 * i], 1, LARGEST)
  if not seq or not whole(ARGV[1 + 5 * i], 1, LARGEST) or not whole(ARGV[3 + 5 * i], 0, LARGEST) then
    return refuse_argument('seq, session_ms or began_ms of visitor ' .. i)
  end
  if seq - state.base >= BIT_WINDOW then return refuse_span(seq) end
  highest = math.max(highest, seq)
end
outrun(state, highest)

local _, now_ms = clock()

local function touch(vid, seq, new_expiry, proof, proved_ms)
  if has_ended(state, seq) then return 'X', seq, 0, 0 end
  local expiry = score(ACTIVE, vid)
  if expiry and expiry >= now_ms then
    if new_expiry > expiry then redis.call('ZADD', ACTIVE, format_whole(new_expiry), vid) end
    local known_seq, began_ms = numbered_of(vid)
    known_seq, began_ms = known_seq or seq, began_ms or now_ms
    if proved_ms < began_ms then
      began_ms = proved_ms
      redis.call('HSET', SEQS, vid, session_text(known_seq, began_ms))
    end
    return 'A', known_seq, math.max(expiry, new_expiry), began_ms
  end
  if proof and seq >= state.base then
    seat(state, vid, seq, new_expiry, proved_ms)
    return 'A', seq, new_expiry, proved_ms
  end
  return 'X', seq, 0, 0
end

local reply = {'OK'}
for i = 1, count do
  local vid, seq, session_ms = ARGV[5 * i - 1], tonumber(ARGV[5 * i]), tonumber(ARGV[1 + 5 * i])
  local proof, proved_ms = ARGV[2 + 5 * i] == '1', tonumber(ARGV[3 + 5 * i])
  proved_ms = proof and proved_ms > 0 and math.min(proved_ms, now_ms) or now_ms
  local code, number, expiry, began_ms = touch(vid, seq, now_ms + session_ms, proof, proved_ms)
  reply[#reply + 1] = code; reply[#reply + 1] = number; reply[#reply + 1] = expiry; reply[#reply + 1] = began_ms
end
return reply
