-- KEYS: due, timers. ARGV: ref. Returns how many timers there were.
local held = redis.call('HGET', KEYS[2], ARGV[1])
if not held then return 0 end
local n = 0
for name in pairs(cmsgpack.unpack(held)) do n = n + redis.call('ZREM', KEYS[1], ARGV[1] .. name) end
redis.call('HDEL', KEYS[2], ARGV[1])
return n
