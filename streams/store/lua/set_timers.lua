-- KEYS, two for each: due, timers. ARGV, three for each: ref, name, due.
for i = 1, #KEYS / 2 do
  local due, timers = KEYS[2 * i - 1], KEYS[2 * i]
  local ref, name, at = ARGV[3 * i - 2], ARGV[3 * i - 1], ARGV[3 * i]
  local held = redis.call('HGET', timers, ref)
  local names = held and cmsgpack.unpack(held) or {}
  names[name] = at
  redis.call('HSET', timers, ref, cmsgpack.pack(names))
  redis.call('ZADD', due, at, ref .. name)
end
return 1
