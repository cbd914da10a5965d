-- The seat map of a schedule as Redis has it, read in one step.
-- KEYS[1]: seats:{scheduleId}   ARGV[1]: the revision that the caller has, or ''
-- Returns {revision, fields}: '' when a map has to be made from the database; no fields when the revision is the
-- caller's; else all fields, name and value in turn.
local head = redis.call('HMGET', KEYS[1], '#rev', '#until')
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
if not head[1] or (tonumber(head[2] or '') or 0) <= now_ms then
  return {'', {}}
end
if head[1] == ARGV[1] then
  return {head[1], {}}
end
return {head[1], redis.call('HGETALL', KEYS[1])}
