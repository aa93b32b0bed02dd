-- Set or delete items and log each real change under the next sequence number. Returns the last one.
-- KEYS: items, log, sequence. ARGV, two for each: item, '1' and its data, or '0' to delete it.
for i = 1, #ARGV, 2 do
  local item, new = ARGV[i], ARGV[i + 1]
  local old = redis.call('HGET', KEYS[1], item)
  local data = string.byte(new) == 49 and string.sub(new, 2)
  if data ~= old then -- both false: there is nothing to delete
    redis.call('ZADD', KEYS[2], redis.call('INCR', KEYS[3]), item)
    if data then redis.call('HSET', KEYS[1], item, data) else redis.call('HDEL', KEYS[1], item) end
  end
end
return tonumber(redis.call('GET', KEYS[3]) or '0')
