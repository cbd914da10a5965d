-- LIVE_NODES: which nodes live, for the one node that has the lease. The lease only saves work: two holders
-- at once would reap the same visitors.
-- KEYS  the nine of the prelude, then
--       10 seen:nodes  ZSET    node -> until when it counts as live, ms
--       11 seen:lease  STRING  the holder, expires
-- ARGV  gen, life, node, lease_ms
-- reply {'LOST'} | {'GEN', gen, life} | {'OK', 0} another node has the lease | {'OK', 1, node ...}
-- refusals ARG.   atomic: all
local state, refusal = load_state()
if not state then return refusal end
local lease_ms = whole(ARGV[4], 1, LARGEST)
if not lease_ms then return refuse_argument('lease_ms') end
local holder = redis.call('GET', KEYS[11])
if holder and holder ~= ARGV[3] then return {'OK', 0} end
redis.call('SET', KEYS[11], ARGV[3], 'PX', format_whole(lease_ms))
local _, now_ms = clock()
redis.call('ZREMRANGEBYSCORE', KEYS[10], '-inf', '(' .. format_whole(now_ms))
return {'OK', 1, unpack(redis.call('ZRANGE', KEYS[10], 0, -1))}
