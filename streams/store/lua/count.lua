-- Add the counts of a batch and move its fence, or do nothing if the fence is elsewhere.
-- KEYS: fences, events, heat, then heat by category, then pairs by item.
-- ARGV: source, expected offset, new offset, neighbours kept, slack,
--       msgpack [[item, five numbers]..], [item, weight, ..], one such list per category, one per pairs key.
local source, expected, offset = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local kept, slack = tonumber(ARGV[4]), tonumber(ARGV[5])
if tonumber(redis.call('HGET', KEYS[1], source) or '-1') ~= expected then return 0 end
redis.call('HSET', KEYS[1], source, offset)

local function add(key, weights)
  for i = 1, #weights, 2 do redis.call('ZINCRBY', key, weights[i + 1], weights[i]) end
end

local events, heat, categories, pairs_of = unpack(cmsgpack.unpack(ARGV[6]))
for _, event in ipairs(events) do
  local item, a, b, c, d, e = unpack(event)
  local held = redis.call('HGET', KEYS[2], item)
  if held then
    local v, w, x, y, z = struct.unpack('>i5i5i5i5i5', held)
    a, b, c, d, e = a + v, b + w, c + x, d + y, e + z
  end
  redis.call('HSET', KEYS[2], item, struct.pack('>i5i5i5i5i5', a, b, c, d, e))
end
add(KEYS[3], heat)
for i, weights in ipairs(categories) do add(KEYS[3 + i], weights) end
for i, weights in ipairs(pairs_of) do
  local key = KEYS[3 + #categories + i]
  add(key, weights)
  if redis.call('ZCARD', key) > kept + slack then redis.call('ZREMRANGEBYRANK', key, 0, -(kept + 1)) end
end
return 1
