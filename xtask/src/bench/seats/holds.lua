-- For wrk: holds of one seat each, hot seats first by a power law (exponent 0: all alike), each by another user.
-- Arguments: file with tokens, schedule, seats, exponent, 1 for an Idempotency-Key with each request or 0.
-- The file: the queue tokens one a line, an empty line, the users' tokens one a line.
local threads = {}

function setup(thread)
  threads[#threads + 1] = thread
end

function init(args)
  local file, schedule, seats, exponent, with_key = args[1], args[2], tonumber(args[3]), tonumber(args[4]), args[5] == '1'
  queue, users = {}, {}
  local into = queue
  for line in io.lines(file) do
    if line == '' then into = users else into[#into + 1] = line end
  end
  cumulated, total = {}, 0
  for rank = 1, seats do
    total = total + rank ^ -exponent
    cumulated[rank] = total
  end
  path, keyed, number, held, refused, other = '/schedules/' .. schedule .. '/holds', with_key, 0, 0, 0, 0
  run = string.format('%x', os.time()) .. tostring({}):sub(8)
  math.randomseed(os.time())
end

local function seat()
  local wanted, low, high = math.random() * total, 1, #cumulated
  while low < high do
    local middle = math.floor((low + high) / 2)
    if cumulated[middle] < wanted then low = middle + 1 else high = middle end
  end
  return low
end

function request()
  number = number + 1
  local headers = {
    ['Authorization'] = 'Bearer ' .. users[math.random(#users)],
    ['X-QUEUE-TOKEN'] = queue[math.random(#queue)],
    ['Content-Type'] = 'application/json',
  }
  if keyed then
    headers['Idempotency-Key'] = run .. '-' .. number
  end
  return wrk.format('POST', path, headers, '{"seats":["S-' .. seat() .. '"]}')
end

function response(status)
  if status == 201 then held = held + 1 elseif status == 409 then refused = refused + 1 else other = other + 1 end
end

function done(summary, latency, requests)
  local held, refused, other = 0, 0, 0
  for _, thread in ipairs(threads) do
    held, refused, other = held + thread:get('held'), refused + thread:get('refused'), other + thread:get('other')
  end
  print(string.format('holds %d %d %d %d %.3f %.3f', held, refused, other, summary.duration,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
