-- HEARTBEATS: keeps one node's report of whom it heard, and takes note that the node lives.
-- KEYS  the nine of the prelude, then
--       10 seen:<bucket>:<node>  STRING  the report (first and to, 8 bytes each, then a bitmap), expires
--       11 seen:nodes            ZSET    node -> until when it counts as live, ms. Must not expire: a server that is
--                                        short of memory may drop what does, and with it who is to be waited for
-- ARGV  gen, life, node, report, keep_ms, alive_ms
-- reply {'LOST'} | {'GEN', gen, life} | {'OK'}
-- refusals ARG.   atomic: report and note. Repeating it changes nothing.
-- A report of a former epoch is refused: its numbers mean others now.
local state, refusal = load_state()
if not state then return refusal end
local keep_ms, alive_ms = whole(ARGV[5], 1, LARGEST), whole(ARGV[6], 1, LARGEST)
if not keep_ms or not alive_ms then return refuse_argument('keep_ms, alive_ms') end
local _, now_ms = clock()
redis.call('SET', KEYS[10], ARGV[4], 'PX', format_whole(keep_ms))
redis.call('ZADD', KEYS[11], format_whole(now_ms + alive_ms), ARGV[3])
redis.call('ZREMRANGEBYSCORE', KEYS[11], '-inf', '(' .. format_whole(now_ms))
return {'OK'}
