-- RECOVER: at start, after any reconnect and after LOST. Then MERGE_BITS.
-- ARGV  gen, life (0: this node knows none), seen_seq (0: it knows nothing), seen_adm, seen_wm, hold_ms, burst,
--       pause, base, floor (as remembered from snapshots), fresh_life (a random id, not 0)
-- reply {'GEN', gen, life} when the store is of a higher generation, or of another life that is no longer cold
--       | {'OK', how, gen, life, seq, base, floor, adm, wm, hold_ms left, pause, cold 0|1}
-- refusals ARG.   atomic: all. Repeatable: a second call is a MERGED that changes nothing.
-- FRESH     nothing there and the node knows nothing: fresh_life, a full bucket, no hold, cold for hold_ms.
-- RESTORED  nothing there, or a lower generation, or a cold room of another life, and the node knows numbers:
--           whatever was there is dropped; the node's life, seq = seen + 100000, an empty bucket, a hold.
--           A lower generation is replaced also by a node that knows no numbers: FRESH, with an empty bucket.
-- MERGED    same generation and life (or the node knows none): the larger of each. Behind the node in seq:
--           +100000 once; in adm: the bucket is emptied, because TICK could not see it any more afterwards.
-- A higher base drops what waits below it, a higher floor what waits or has a turn up to it: void by the rules.
local names = {'gen', 'life', 'seq', 'adm', 'wm', 'hold_ms', 'burst', 'pause', 'base', 'floor', 'fresh_life'}
local node = {}
for i, name in ipairs(names) do
  if name == 'burst' then node[name] = amount(ARGV[i]) else node[name] = whole(ARGV[i], 0, LARGEST) end
  if not node[name] then return refuse_argument(name) end
end
if node.base % 8 ~= 0 then return refuse_argument('a base is a multiple of 8') end
local knows = node.seq > 0
if node.fresh_life == 0 or (knows and node.life == 0) then
  return refuse_argument("whoever knows numbers knows the room's life, and a fresh life is not 0")
end

local now_us = clock()
local hold_until = now_us + node.hold_ms * 1000
local store = read_state()
local other_life = store and node.life ~= 0 and node.life ~= store.life
local how

if store and store.gen > node.gen then return other_epoch(store) end
if store and store.gen == node.gen and other_life and not (knows and store.cold > now_us) then return other_epoch(store) end

local state
if not store or store.gen < node.gen or other_life then
  drop_everything()
  state = {
    gen = node.gen, base = node.base, floor = node.floor, adm = node.adm, wm = node.wm,
    pause = math.max(node.pause, store and store.pause or 0),   -- the later order wins
    tok = 0, last = now_us, hold = 0, cold = 0, rid = replication_id(),
  }
  if knows then
    how = 'RESTORED'
    state.life, state.seq, state.hold = node.life, node.seq + SEQ_MARGIN, hold_until
  else
    how = 'FRESH'
    state.life, state.seq, state.cold = node.fresh_life, 0, hold_until
    if not store then state.tok = node.burst end
  end
else
  how, state = 'MERGED', store
  if state.cold <= now_us then state.cold = 0 end
  fence(state, node.seq, now_us)
  if state.adm < node.adm then state.adm = node.adm; state.tok = 0; state.last = now_us end
  state.wm = math.max(state.wm, node.wm)
  state.pause = math.max(state.pause, node.pause)
  rebase(state, node.base)
  if state.floor < node.floor then
    state.floor = node.floor
    redis.call('ZREMRANGEBYSCORE', WAITING, '-inf', format_whole(state.floor))
    -- Clear the bits 0 .. floor - base: whole bytes at once, the rest one by one.
    local bytes = redis.call('STRLEN', WAITING_BITS)
    local whole_bytes = math.max(0, math.min(bytes, math.floor((state.floor + 1 - state.base) / 8)))
    if whole_bytes > 0 then redis.call('SETRANGE', WAITING_BITS, 0, string.rep('\0', whole_bytes)) end
    for bit = whole_bytes * 8, math.min(state.floor - state.base, bytes * 8 - 1) do redis.call('SETBIT', WAITING_BITS, bit, 0) end
    each_numbered(GRANTED, function(vid, seq) if seq <= state.floor then drop_numbered(GRANTED, vid) end end)
  end
end
local void_up_to = math.max(state.floor, state.base)
if state.seq < void_up_to then state.seq = void_up_to + SEQ_MARGIN end   -- no new number may be void
save_state(state, 'gen', 'life', 'seq', 'base', 'floor', 'adm', 'wm', 'hold', 'pause', 'cold', 'tok', 'last', 'rid')
return {'OK', how, state.gen, state.life, state.seq, state.base, state.floor, state.adm, state.wm,
  hold_left_ms(state, now_us), state.pause, state.cold > now_us and 1 or 0}
