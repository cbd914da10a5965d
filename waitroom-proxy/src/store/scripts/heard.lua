-- HEARD: what some nodes reported of one stretch of time. Writes nothing.
-- KEYS  the nine of the prelude, then seen:<bucket>:<node> of each node asked about
-- ARGV  none: reports are of the epoch in which they were kept, and expire
-- reply {'OK', report ...}, each in its place; '' for a node that has not reported
-- atomic: all
local reply = {'OK'}
for i = 10, #KEYS do reply[#reply + 1] = redis.call('GET', KEYS[i]) or '' end
return reply
