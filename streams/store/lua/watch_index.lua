-- Note which products a shopper watches, the oldest giving way. An erased shopper watches none.
-- KEYS, two for each shopper: profile, index. ARGV: mark of a tombstone, how many to keep, milliseconds to live,
-- then for each a msgpack list of product, time, ..
-- Returns for each the products that gave way, or 0 for an erased one.
local mark, kept, ttl = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local out = {}
for i = 1, #KEYS / 2 do
  local profile, index = KEYS[2 * i - 1], KEYS[2 * i]
  if redis.call('GETRANGE', profile, 8, 7 + #mark) == mark then
    out[i] = 0
  else
    local entries = cmsgpack.unpack(ARGV[3 + i])
    for j = 1, #entries, 2 do redis.call('ZADD', index, 'GT', entries[j + 1], entries[j]) end
    redis.call('PEXPIRE', index, ttl)
    local over, gone = redis.call('ZCARD', index) - kept, {}
    if over > 0 then
      gone = redis.call('ZRANGE', index, 0, over - 1)
      redis.call('ZREMRANGEBYRANK', index, 0, over - 1)
    end
    out[i] = gone
  end
end
return out
