-- KEYS, two for each: due, timers. ARGV, three for each: ref, name, due (empty: whatever it is due at).
for i = 1, #KEYS / 2 do
  local due, timers = KEYS[2 * i - 1], KEYS[2 * i]
  local ref, name, at = ARGV[3 * i - 2], ARGV[3 * i - 1], ARGV[3 * i]
  local held = redis.call('HGET', timers, ref)
  local names = held and cmsgpack.unpack(held) or {}
  if names[name] and (at == '' or tonumber(at) == tonumber(names[name])) then
    names[name] = nil
    redis.call('ZREM', due, ref .. name)
    if next(names) then redis.call('HSET', timers, ref, cmsgpack.pack(names)) else redis.call('HDEL', timers, ref) end
  end
end
return 1
