-- A writer's word about seats that it has changed, after its commit, atomically. Older words change nothing.
-- On a map that is not there it waits for the next fill, which a reading from before the commit could otherwise win.
-- KEYS[1]: seats:{scheduleId}
-- ARGV[1]: how long the map counts from now on at most, ms   ARGV[2]: time to live, ms
-- then for each seat: number, version, standing
-- Returns how many seats changed.
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local changed = 0
for i = 3, #ARGV, 3 do
  local stored = string.match(redis.call('HGET', KEYS[1], ARGV[i]) or '', '^%d+')
  if not stored or tonumber(stored) < tonumber(ARGV[i + 1]) then
    local value = ARGV[i + 1] .. ':' .. ARGV[i + 2] .. ':' .. string.format('%.0f', now_ms)
    redis.call('HSET', KEYS[1], ARGV[i], value)
    changed = changed + 1
  end
end
if changed > 0 then
  local revision = (tonumber(redis.call('HGET', KEYS[1], '#rev') or '') or time[1] * 1000000 + time[2]) + 1
  redis.call('HSET', KEYS[1], '#rev', string.format('%.0f', revision))
  local counts_until = redis.call('HGET', KEYS[1], '#until')
  if counts_until and tonumber(counts_until) > now_ms + ARGV[1] then
    redis.call('HSET', KEYS[1], '#until', string.format('%.0f', now_ms + ARGV[1]))
  end
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return changed
