-- Add shoppers to those interested in a product, and take others out.
-- KEYS, two for each product: watchers, times. ARGV: seconds to keep, how many to keep, milliseconds to live,
-- then for each a msgpack pair: list of [ref, level, missed, at, price], list of refs to take out.
local keep_s, kept, ttl = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]

local function take_out(watchers, times, refs)
  for _, ref in ipairs(refs) do
    redis.call('HDEL', watchers, ref)
    redis.call('ZREM', times, ref)
  end
end

for i = 1, #KEYS / 2 do
  local watchers, times = KEYS[2 * i - 1], KEYS[2 * i]
  local added, gone = unpack(cmsgpack.unpack(ARGV[3 + i]))
  for _, one in ipairs(added) do
    local ref, level, missed, at, price = unpack(one)
    local told, held = 0, redis.call('HGET', watchers, ref)
    if held then
      local l, m, a, p, t = struct.unpack('>BBddd', held)
      if at < a or price <= 0 then price = p end
      level, missed, at, told = math.max(level, l), math.max(missed, m), math.max(at, a), t
    end
    redis.call('HSET', watchers, ref, struct.pack('>BBddd', level, missed, at, price, told))
    redis.call('ZADD', times, at, ref)
  end
  take_out(watchers, times, gone)
  local last = #added > 0 and redis.call('ZREVRANGE', times, 0, 0, 'WITHSCORES')[2]
  if last then
    local newest = tonumber(last)
    take_out(watchers, times, redis.call('ZRANGEBYSCORE', times, '-inf', string.format('(%.17g', newest - keep_s)))
    local over = redis.call('ZCARD', times) - kept
    if over > 0 then take_out(watchers, times, redis.call('ZRANGE', times, 0, over - 1)) end
    redis.call('PEXPIRE', watchers, ttl)
    redis.call('PEXPIRE', times, ttl)
  end
end
return 1
