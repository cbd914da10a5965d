-- ENTER, the fast lane: new visitors go straight to a provisional session while nobody waits.
-- ARGV  gen, life, rate per s, burst, cap on granted + active (0 none), session_ms, seen_seq, seen_adm,
--       n (1..1000), then n x vid
-- reply {'LOST'} | {'GEN', gen, life} | {'OK', (code, seq, expiry_ms, began_ms) x n}
--       A has a session | F no: nothing was written for this visitor, JOIN instead
-- refusals BATCH, ARG, SPAN.   atomic: the whole batch, in order; after the first F only repeats get A.
-- Needs: nobody waiting, not paused or held, a whole token, room under the cap. Takes the token and the
-- next seq, spends the ticket, counts the admission. Repeated: the same session, no second token.
local state, refusal = load_state()
if not state then return refusal end
local count = whole(ARGV[9], 1, MAX_BATCH)
if not count or #ARGV ~= 9 + count then return refuse_batch() end
local rate, burst, cap = amount(ARGV[3]), amount(ARGV[4]), whole(ARGV[5], 0, LARGEST)
local session_ms = whole(ARGV[6], 1, LARGEST)
local seen_seq, seen_adm = whole(ARGV[7], 0, LARGEST), whole(ARGV[8], 0, LARGEST)
if not (rate and burst and cap and session_ms and seen_seq and seen_adm) then return refuse_argument('limits or seen') end
local top = math.max(state.seq, seen_seq) + 2 * SEQ_MARGIN + count
if top - state.base >= BIT_WINDOW then return refuse_span(top) end

local now_us, now_ms = clock()
refill(state, rate, burst, seen_seq, seen_adm, now_us)
local free = cap > 0 and cap - occupied(now_ms) or math.huge
local open = is_open(state, now_us) and redis.call('ZCARD', WAITING) == 0

local vids = {}
for i = 1, count do vids[i] = ARGV[9 + i] end
local granted = redis.call('ZMSCORE', GRANTED, unpack(vids))
local active = redis.call('ZMSCORE', ACTIVE, unpack(vids))
local seqs = redis.call('HMGET', SEQS, unpack(vids))
local expiry_ms = now_ms + session_ms
local sessions, numbers, bits, seated, reply = {}, {}, {}, {}, {'OK'}
for i = 1, count do
  local vid = vids[i]
  local expiry = tonumber(active[i] or nil)
  local code, seq, until_ms, began_ms = 'F', 0, 0, 0
  if seated[vid] then
    code, seq, until_ms, began_ms = 'A', seated[vid], expiry_ms, now_ms
  elseif expiry and expiry >= now_ms then
    local known_seq, known_ms = numbered(seqs[i])
    code, seq, until_ms, began_ms = 'A', known_seq or 0, expiry, known_ms or now_ms
  elseif open and not granted[i] and state.tok >= 1 and free >= 1 then
    state.tok = state.tok - 1; free = free - 1; state.adm = state.adm + 1; state.seq = state.seq + 1
    state.wm = math.max(state.wm, state.seq)
    code, seq, until_ms, began_ms = 'A', state.seq, expiry_ms, now_ms
    seated[vid] = seq
    sessions[#sessions + 1] = format_whole(expiry_ms); sessions[#sessions + 1] = vid
    numbers[#numbers + 1] = vid; numbers[#numbers + 1] = session_text(seq, now_ms)
    bits[#bits + 1] = 'SET'; bits[#bits + 1] = 'u1'; bits[#bits + 1] = seq - state.base; bits[#bits + 1] = 1
  end
  reply[#reply + 1] = code; reply[#reply + 1] = seq; reply[#reply + 1] = until_ms; reply[#reply + 1] = began_ms
end
if #sessions > 0 then
  redis.call('ZADD', ACTIVE, unpack(sessions))
  redis.call('HSET', SEQS, unpack(numbers))
  redis.call('BITFIELD', SPENT_BITS, unpack(bits))
end
save_state(state, 'seq', 'last', 'tok', 'adm', 'wm', 'rid')
return reply
