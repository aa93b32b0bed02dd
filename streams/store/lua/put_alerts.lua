-- Keep what is to be told of a product. KEYS: alerts. ARGV: '1' to replace one of the same offset only, else a newer one wins;
-- milliseconds to live; then two for each: offset, alert.
local same, ttl = ARGV[1] == '1', ARGV[2]
for i, key in ipairs(KEYS) do
  local offset, data = tonumber(ARGV[2 * i + 1]), ARGV[2 * i + 2]
  local raw = redis.call('GET', key)
  local held = raw and struct.unpack('>d', raw) or -1
  if (same and held == offset) or (not same and held < offset) then
    redis.call('SET', key, struct.pack('>d', offset) .. data, 'PX', ttl)
  end
end
return 1
