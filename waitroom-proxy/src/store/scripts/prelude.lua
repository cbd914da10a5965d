-- PRELUDE: shared by every queue script and put in front of each when it is loaded.
--
-- KEYS, the same nine for every script, in this order (all in one hash slot):
--   1 waiting       ZSET    vid -> seq: the truth about who waits
--   2 granted       ZSET    vid -> claim deadline, ms
--   3 active        ZSET    vid -> session expiry, ms
--   4 waiting.bits  bitmap  bit (seq - base): waits now
--   5 spent.bits    bitmap  bit (seq - base): turn claimed
--   6 ended.bits    bitmap  bit (seq - base): session ended for good
--   7 state         HASH    see FIELDS
--   8 scratch       bitmap  for BITOP inside one script, gone afterwards
--   9 seqs          HASH    vid -> 'seq' of exactly the members of granted, 'seq:began_ms' of those of active
--
-- ARGV 1 and 2 of every script: generation and life of the room as the caller believes (RECOVER and
-- SNAPSHOT say where they differ). Replies common to all: {'LOST'} the state is gone;
-- {'GEN', generation, life} the room is of another epoch. Refusals, always before any write:
-- BATCH (too few, too many), ARG (not a number of the right kind), SPAN (a seq too far from the others).
--
-- Numbers are doubles, exact up to 2^53; LARGEST keeps sums below that. The only clock is TIME.

local WAITING, GRANTED, ACTIVE = KEYS[1], KEYS[2], KEYS[3]
local WAITING_BITS, SPENT_BITS, ENDED_BITS = KEYS[4], KEYS[5], KEYS[6]
local STATE, SCRATCH, SEQS = KEYS[7], KEYS[8], KEYS[9]

local MAX_BATCH = 1000          -- visitors a call
local SEQ_MARGIN = 100000       -- more numbers than can have been given out unseen
local BIT_WINDOW = 134217728    -- 2^27 bits: 16 MiB a bitmap
local WINDOW_KEPT = 16777216    -- how much of it stays behind when it has to move up
local LARGEST = 9007199254000000
local CLOCK_SLACK_US = 1000000  -- a clock that stepped back by less is waited out

-- gen, life: the epoch.   seq: highest number given out.   base: seq of bit 0, a multiple of 8.
-- floor: tickets up to here were flushed.   adm: admissions so far.   wm: highest seq granted a turn.
-- tok, last: the token bucket, and the time (us) it was last filled.   hold: no grants before (us).
-- pause: counter, odd = paused.   cold: until then (us) a room begun from nothing yields; 0: it does not.
-- rid: replication id at the last write.   flushed: nonce of the last flush.
local FIELDS = {'gen', 'life', 'seq', 'base', 'floor', 'adm', 'wm', 'tok', 'last', 'hold', 'pause', 'cold', 'rid', 'flushed'}

local function format_whole(number) return string.format('%.0f', number) end

-- The number if it is whole and within bounds, otherwise nil.
local function whole(text, low, high)
  local number = tonumber(text)
  if number and number == math.floor(number) and number >= low and number <= high then return number end
  return nil
end

-- A finite number that is not negative, otherwise nil.
local function amount(text)
  local number = tonumber(text)
  if number and number >= 0 and number < math.huge then return number end
  return nil
end

local function refuse(code, sentence) return redis.error_reply(code .. ' ' .. sentence) end
local function refuse_batch(what) return refuse('BATCH', what or ('a call takes 1 to ' .. MAX_BATCH .. ' visitors')) end
local function refuse_argument(what) return refuse('ARG', what) end
local function refuse_span(seq) return refuse('SPAN', 'number ' .. format_whole(seq) .. ' is too far from those in line') end

local function clock()
  local time = redis.call('TIME')
  local now_us = time[1] * 1000000 + time[2]
  return now_us, math.floor(now_us / 1000)
end

-- Changes with every failover and restart. '' without the right to INFO: then the fence is off.
local function replication_id()
  local info = redis.pcall('INFO', 'replication')
  return type(info) == 'string' and string.match(info, 'master_replid:(%x+)') or ''
end

-- The state as a table of numbers (rid and flushed: strings), or nil when there is none.
local function read_state()
  local values = redis.call('HMGET', STATE, unpack(FIELDS))
  if not values[1] then return nil end
  local state = {}
  for i, field in ipairs(FIELDS) do state[field] = tonumber(values[i] or nil) or 0 end
  state.rid, state.flushed = values[13] or '', values[14] or ''
  return state
end

local function other_epoch(state) return {'GEN', state.gen, state.life} end

-- The state, or nil and the reply that says why not.
local function load_state()
  local state = read_state()
  if not state then return nil, {'LOST'} end
  if format_whole(state.gen) ~= ARGV[1] or format_whole(state.life) ~= ARGV[2] then return nil, other_epoch(state) end
  return state
end

local function save_state(state, ...)
  local values = {}
  for _, field in ipairs({...}) do
    local value = state[field]
    if field == 'tok' then value = string.format('%.6f', value)
    elseif type(value) == 'number' then value = format_whole(value) end
    values[#values + 1] = field; values[#values + 1] = value
  end
  redis.call('HSET', STATE, unpack(values))
end

local function score(key, vid) return tonumber(redis.call('ZSCORE', key, vid) or nil) end

-- Number and, for a session, beginning (ms) from a value of `seqs`; nil for what is not there.
local function numbered(text)
  if not text then return nil end
  local seq, began_ms = string.match(text, '^(%d+):?(%d*)$')
  return tonumber(seq), tonumber(began_ms)
end
local function numbered_of(vid) return numbered(redis.call('HGET', SEQS, vid)) end
local function seq_of(vid) return (numbered_of(vid)) end
local function session_text(seq, began_ms) return format_whole(seq) .. ':' .. format_whole(began_ms) end

-- The number of the first in line, or nil.
local function head()
  local first = redis.call('ZRANGE', WAITING, 0, 0, 'WITHSCORES')
  return tonumber(first[2] or nil)
end

local function bit_is_set(key, state, seq) return redis.call('GETBIT', key, seq - state.base) == 1 end
local function has_ended(state, seq) return seq >= state.base and bit_is_set(ENDED_BITS, state, seq) end

-- Whether a ticket of this number can no longer be put in line.
local function is_void(state, seq)
  return seq <= state.floor or seq < state.base or bit_is_set(SPENT_BITS, state, seq) or bit_is_set(ENDED_BITS, state, seq)
end

local function leave_line(state, vid, seq)
  redis.call('ZREM', WAITING, vid)
  redis.call('SETBIT', WAITING_BITS, seq - state.base, 0)
end

-- Opens a session, wherever the visitor was, and spends the ticket.
local function seat(state, vid, seq, expiry_ms, began_ms)
  local waiting_seq = score(WAITING, vid)
  if waiting_seq then leave_line(state, vid, waiting_seq) end
  redis.call('ZREM', GRANTED, vid)
  if seq >= state.base then redis.call('SETBIT', SPENT_BITS, seq - state.base, 1) end
  redis.call('ZADD', ACTIVE, format_whole(expiry_ms), vid)
  redis.call('HSET', SEQS, vid, session_text(seq, began_ms))
end

-- A number seen on a verified ticket was given out, whatever this store remembers.
local function outrun(state, ticket)
  if ticket > state.seq then
    state.seq = ticket + SEQ_MARGIN
    save_state(state, 'seq')
  end
end

-- Never a number that a node has seen given out. Changes the table only.
local function outrun_seen(state, seen_seq)
  if state.seq < seen_seq then state.seq = seen_seq + SEQ_MARGIN end
end

-- Notices a failover or restart by the replication id: writes may be lost, so numbers jump beyond all that
-- was seen, and the bucket is emptied. Once for all nodes. Changes the table only; true if it happened.
local function fence(state, seen_seq, now_us)
  local id = replication_id()
  local changed = id ~= '' and state.rid ~= '' and state.rid ~= id
  state.rid = id
  if changed then
    state.seq = math.max(state.seq, seen_seq) + SEQ_MARGIN; state.tok = 0; state.last = now_us
  end
  outrun_seen(state, seen_seq)
  return changed
end

-- Fills the token bucket. True if the store went backwards. Changes the table only.
local function refill(state, rate, burst, seen_seq, seen_adm, now_us)
  local rolled_back = fence(state, seen_seq, now_us)
  if state.adm < seen_adm then          -- never grant the lost interval again
    rolled_back = true; state.adm = seen_adm; state.tok = 0; state.last = now_us
  end
  if now_us >= state.last then
    state.tok = math.min(burst, state.tok + (now_us - state.last) * rate / 1000000); state.last = now_us
  elseif state.last - now_us > CLOCK_SLACK_US then
    state.tok = 0; state.last = now_us  -- the clock stepped back: forfeit, never double
  end
  return rolled_back
end

-- Turns and sessions that are not overdue.
local function occupied(now_ms)
  return redis.call('ZCOUNT', GRANTED, format_whole(now_ms), '+inf') + redis.call('ZCOUNT', ACTIVE, format_whole(now_ms), '+inf')
end

local function is_open(state, now_us) return state.hold <= now_us and state.pause % 2 == 0 end
local function hold_left_ms(state, now_us) return math.max(0, math.ceil((state.hold - now_us) / 1000)) end

-- Forgets everything below a new base (a multiple of 8). Writes the bitmaps; the caller saves `base`.
local function rebase(state, base)
  local cut = (base - state.base) / 8
  if cut <= 0 then return end
  redis.call('ZREMRANGEBYSCORE', WAITING, '-inf', '(' .. format_whole(base))
  for _, key in ipairs({WAITING_BITS, SPENT_BITS, ENDED_BITS}) do
    if redis.call('STRLEN', key) > cut then redis.call('SET', key, redis.call('GETRANGE', key, cut, -1))
    else redis.call('DEL', key) end
  end
  state.base = base
end

-- Calls `visit(vid, seq)` for every member of granted or active; `unpack` takes a thousand at a time.
local function each_numbered(key, visit)
  local members = redis.call('ZRANGE', key, 0, -1)
  for first = 1, #members, 1000 do
    local last = math.min(first + 999, #members)
    local seqs = redis.call('HMGET', SEQS, unpack(members, first, last))
    for i = first, last do visit(members[i], (numbered(seqs[i - first + 1])) or 0) end
  end
end

local function drop_numbered(key, vid)
  redis.call('ZREM', key, vid)
  redis.call('HDEL', SEQS, vid)
end

local function drop_everything() redis.call('UNLINK', unpack(KEYS)) end

