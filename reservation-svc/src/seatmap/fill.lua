-- Puts what was read from the database into the seat map of a schedule, atomically. What a writer has said since
-- goes before it: a seat's version only rises. Only for so long as a reading can be late (ARGV[3]): a word that no
-- reading has confirmed by then is dropped, so that a database that lost commits is believed again.
-- KEYS[1]: seats:{scheduleId}
-- ARGV[1]: the plan   ARGV[2]: how long the map counts, ms   ARGV[3]: how long a writer's word goes first, ms
-- ARGV[4]: time to live, ms   then for each seat: number, version, standing
-- Returns {revision, fields}: no fields when all seats are as read; else all fields, name and value in turn.
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local had = {}
local flat = redis.call('HGETALL', KEYS[1])
for i = 1, #flat, 2 do
  had[flat[i]] = flat[i + 1]
end
local newer = false
for i = 5, #ARGV, 3 do
  local seat, version, standing = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local stored_version, stored_standing, at_ms = string.match(had[seat] or '', '^(%d+):(%w+):(%d+)$')
  if stored_version and tonumber(stored_version) > tonumber(version) and now_ms - tonumber(at_ms) < tonumber(ARGV[3]) then
    newer = true
  elseif stored_version ~= version or stored_standing ~= standing then
    redis.call('HSET', KEYS[1], seat, version .. ':' .. standing .. ':' .. string.format('%.0f', now_ms))
  end
end
-- Begins at the clock, so that a map made anew never has a revision that another had.
local revision = (tonumber(had['#rev'] or '') or time[1] * 1000000 + time[2]) + 1
revision = string.format('%.0f', revision)
redis.call('HSET', KEYS[1], '#plan', ARGV[1], '#rev', revision, '#until', string.format('%.0f', now_ms + ARGV[2]))
redis.call('PEXPIRE', KEYS[1], ARGV[4])
if newer then
  return {revision, redis.call('HGETALL', KEYS[1])}
end
return {revision, {}}
