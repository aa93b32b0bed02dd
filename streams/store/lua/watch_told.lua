-- Write down who was told of a product. KEYS: watchers, one for each. ARGV, three for each: ref, time of the change, price.
for i, key in ipairs(KEYS) do
  local ref, at, price = ARGV[3 * i - 2], tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i])
  local held = redis.call('HGET', key, ref)
  if held then
    local level, _, seen, before, told = struct.unpack('>BBddd', held)
    if before > 0 and before < price then price = before end -- being told of a higher price makes the old one no bargain
    redis.call('HSET', key, ref, struct.pack('>BBddd', level, 0, seen, price, math.max(at, told)))
  end
end
return 1
