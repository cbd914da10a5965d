-- A JWT with HS256, checked as people do it in nginx: HMAC by OpenSSL over LuaJIT's FFI, claims by cjson, every request anew.
-- make() signs one for the bench; check(text) lets the request pass or ends it with 401.
local ffi = require "ffi"
local cjson = require "cjson.safe"
ffi.cdef [[
  typedef struct evp_md_st EVP_MD;
  const EVP_MD *EVP_sha256(void);
  unsigned char *HMAC(const EVP_MD *md, const void *key, int key_length, const unsigned char *data, size_t length,
                      unsigned char *out, unsigned int *out_length);
]]
local crypto = ffi.load("libcrypto.so.3")
local KEY = "a secret of the bench, and of 32+"
local out, out_length = ffi.new("unsigned char[32]"), ffi.new("unsigned int[1]")

local function hmac(text)
  crypto.HMAC(crypto.EVP_sha256(), KEY, #KEY, text, #text, out, out_length)
  return ffi.string(out, out_length[0])
end

local function to_url(bytes)
  return (ngx.encode_base64(bytes, true):gsub("+", "-"):gsub("/", "_"))
end

local function from_url(text)
  return ngx.decode_base64((text:gsub("-", "+"):gsub("_", "/")) .. ("="):rep(-#text % 4))
end

-- In a time that does not depend on where they differ.
local function equal(one, other)
  if #one ~= #other then return false end
  local difference = 0
  for i = 1, #one do difference = bit.bor(difference, bit.bxor(one:byte(i), other:byte(i))) end
  return difference == 0
end

local function accepts(text)
  local head, body, mac = string.match(text or "", "^([%w_-]+)%.([%w_-]+)%.([%w_-]+)$")
  if not head then return false end
  local shown = from_url(mac)
  if not shown or not equal(shown, hmac(head .. "." .. body)) then return false end
  local header, claims = cjson.decode(from_url(head) or ""), cjson.decode(from_url(body) or "")
  return type(header) == "table" and header.alg == "HS256" and type(claims) == "table" and claims.aud == "open"
    and claims.iss == "waitroom" and (tonumber(claims.exp) or 0) > ngx.time()
end

return {
  make = function()
    local claims = { iss = "waitroom", aud = "open", sub = "AAAAAAAAAAAAAAAA", jti = "AAAAAAAAAAAAAAAA", gen = 1, seq = 88123,
      iat = ngx.time(), exp = ngx.time() + 86400, auth_time = ngx.time() }
    local text = to_url('{"alg":"HS256","kid":"k1","typ":"JWT"}') .. "." .. to_url(cjson.encode(claims))
    return text .. "." .. to_url(hmac(text))
  end,
  check = function(text)
    if not accepts(text) then return ngx.exit(401) end
    ngx.req.set_header("X-QUEUE-TOKEN", text)
  end,
}
