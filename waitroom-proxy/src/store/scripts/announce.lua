-- ANNOUNCE: appends sessions that began to the room's stream, for whoever reads it (docs/EVENTS.md). Needs no prelude.
-- KEYS  the stream.  ARGV  most entries kept (about), seconds that the stream outlives its last entry, generation, life,
--       then for each session: vid, seq, began at (ms since the Unix epoch), ends at (the same)
-- reply how many were appended.   atomic: all of it. A repeat appends again: readers drop repeats by generation, life, seq.
for i = 5, #ARGV, 4 do
  redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'generation', ARGV[3], 'life', ARGV[4],
    'vid', ARGV[i], 'seq', ARGV[i + 1], 'began_ms', ARGV[i + 2], 'expires_ms', ARGV[i + 3])
end
redis.call('EXPIRE', KEYS[1], ARGV[2])
return (#ARGV - 4) / 4
