-- JOIN: puts visitors in line; new ones at the tail, verified tickets back at their old seq.
-- ARGV  gen, life, seen_seq (highest this node ever saw), n (1..1000), then n x (vid, seq)
--       seq 0: a new visitor; otherwise the number of a signature-checked ticket of this epoch
-- reply {'LOST'} | {'GEN', gen, life} | {'OK', (code, seq) x n}
--       W waiting at seq | P has a turn: claim now | A has a session
--       U ticket void (spent, ended, flushed, below base, number in use by another): join as new
-- refusals BATCH, ARG, SPAN.   atomic: the whole batch. Repeating it gives the same answer.
-- Overdue turns and sessions count as gone and are removed here; an unspent ticket then waits again at
-- its old seq, also with seq 0 while `seqs` still knows the number.
local state, refusal = load_state()
if not state then return refusal end
local count = whole(ARGV[4], 1, MAX_BATCH)
if not count or #ARGV ~= 4 + 2 * count then return refuse_batch() end
local seen_seq = whole(ARGV[3], 0, LARGEST)
if not seen_seq then return refuse_argument('seen_seq') end
local vids, tickets, highest, oldest = {}, {}, 0, nil
for i = 1, count do
  local seq = whole(ARGV[4 + 2 * i], 0, LARGEST)
  if not seq then return refuse_argument('seq of visitor ' .. i) end
  vids[i], tickets[i] = ARGV[3 + 2 * i], seq
  highest = math.max(highest, seq)
  if seq > state.floor and seq >= state.base and (not oldest or seq < oldest) then oldest = seq end
end

local now_us, now_ms = clock()
local seq_before = state.seq
local fenced = fence(state, seen_seq, now_us)
if highest > state.seq then state.seq = highest + SEQ_MARGIN end

if state.seq + count - state.base >= BIT_WINDOW then   -- move the window up as far as nobody is dropped
  local base = state.seq - WINDOW_KEPT
  base = math.min(base, head() or base, oldest or base)
  base = math.floor(base / 8) * 8
  if base <= state.base or state.seq + count - base >= BIT_WINDOW then return refuse_span(state.seq) end
  rebase(state, base)
  save_state(state, 'base')
end

-- Where the batch finds its visitors; writes are gathered and made at the end.
local waiting = redis.call('ZMSCORE', WAITING, unpack(vids))
local granted = redis.call('ZMSCORE', GRANTED, unpack(vids))
local active = redis.call('ZMSCORE', ACTIVE, unpack(vids))
local seqs = redis.call('HMGET', SEQS, unpack(vids))
local line, bits, taken, answered, reply = {}, {}, {}, {}, {'OK'}
local first_new = state.seq + 1         -- numbers given out from here on are new, and follow one another

local function set_bits(seq, width, value)
  bits[#bits + 1] = 'SET'; bits[#bits + 1] = width; bits[#bits + 1] = seq - state.base; bits[#bits + 1] = value
end
local function is_free(seq) return not taken[seq] and not bit_is_set(WAITING_BITS, state, seq) end
local function put_in_line(vid, seq, is_new)
  line[#line + 1] = string.format('%d', seq); line[#line + 1] = vid   -- a third of what Redis needs to print a double
  if not is_new then set_bits(seq, 'u1', 1) end
  taken[seq] = true
end

local function stand(i)
  local vid, ticket = vids[i], tickets[i]
  local waiting_seq, deadline, expiry = tonumber(waiting[i] or nil), tonumber(granted[i] or nil), tonumber(active[i] or nil)
  local known_seq = numbered(seqs[i])
  if expiry and expiry >= now_ms then return 'A', known_seq or ticket end
  if deadline and deadline >= now_ms then return 'P', known_seq or ticket end
  if waiting_seq then
    if ticket > 0 and ticket < waiting_seq and not is_void(state, ticket) and is_free(ticket) then
      put_in_line(vid, ticket)          -- an older valid ticket wins over a newer place
      set_bits(waiting_seq, 'u1', 0)
      return 'W', ticket
    end
    return 'W', waiting_seq
  end
  if deadline or expiry then            -- ran out: the place is kept, even without the ticket
    redis.call('ZREM', ACTIVE, vid)
    drop_numbered(GRANTED, vid)
    if ticket == 0 and known_seq and not is_void(state, known_seq) and is_free(known_seq) then ticket = known_seq end
  end
  local is_new = ticket == 0
  if is_new then
    state.seq = state.seq + 1
    ticket = state.seq
  elseif is_void(state, ticket) or not is_free(ticket) then
    return 'U', ticket
  end
  put_in_line(vid, ticket, is_new)
  return 'W', ticket
end

for i = 1, count do
  local vid = vids[i]
  local code, seq
  if answered[vid] then code, seq = answered[vid][1], answered[vid][2] else code, seq = stand(i) end
  if code ~= 'U' then answered[vid] = {code, seq} end
  reply[#reply + 1] = code; reply[#reply + 1] = seq
end

for seq = first_new, state.seq, 32 do   -- the new ones by 32
  local width = math.min(32, state.seq - seq + 1)
  set_bits(seq, 'u' .. width, 2 ^ width - 1)
end
if #line > 0 then redis.call('ZADD', WAITING, unpack(line)) end
for first = 1, #bits, 4000 do redis.call('BITFIELD', WAITING_BITS, unpack(bits, first, math.min(first + 3999, #bits))) end
if fenced then save_state(state, 'rid', 'tok', 'last') end
if state.seq ~= seq_before then save_state(state, 'seq') end
return reply
