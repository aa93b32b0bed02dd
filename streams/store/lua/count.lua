-- Add the counts of a batch and move its fence, or do nothing if the fence is elsewhere.
-- KEYS: fences, events, statistics, heat, then heat by category, then pairs by item.
-- ARGV: source, expected offset, new offset, neighbours kept, slack,
--       msgpack [[item, five numbers]..], [item, weight, ..], one such list per category, one per pairs key,
--       [item, when, sums..] of fading statistics, and the half-life of each sum.
local source, expected, offset = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local kept, slack = tonumber(ARGV[4]), tonumber(ARGV[5])
if tonumber(redis.call('HGET', KEYS[1], source) or '-1') ~= expected then return 0 end
redis.call('HSET', KEYS[1], source, offset)

local function add(key, weights)
  for i = 1, #weights, 2 do redis.call('ZINCRBY', key, weights[i + 1], weights[i]) end
end

local events, heat, categories, pairs_of, records, half_lives = unpack(cmsgpack.unpack(ARGV[6]))
for _, event in ipairs(events) do
  local item, a, b, c, d, e = unpack(event)
  local held = redis.call('HGET', KEYS[2], item)
  if held then
    local v, w, x, y, z = struct.unpack('>i5i5i5i5i5', held)
    a, b, c, d, e = a + v, b + w, c + x, d + y, e + z
  end
  redis.call('HSET', KEYS[2], item, struct.pack('>i5i5i5i5i5', a, b, c, d, e))
end
for _, record in ipairs(records) do
  local item, at, width = record[1], record[2], #half_lives
  local held = redis.call('HGET', KEYS[3], item)
  local sums = {}
  local before, now = at, at
  if held and #held == 8 * (width + 1) then
    sums = {struct.unpack('>' .. string.rep('d', width + 1), held)}
    before = table.remove(sums, 1)
    now = math.max(before, at)
  end
  for i = 1, width do
    sums[i] = (sums[i] or 0) * 2 ^ (-(now - before) / half_lives[i]) + record[2 + i] * 2 ^ (-(now - at) / half_lives[i])
  end
  redis.call('HSET', KEYS[3], item, struct.pack('>' .. string.rep('d', width + 1), now, unpack(sums, 1, width)))
end
add(KEYS[4], heat)
for i, weights in ipairs(categories) do add(KEYS[4 + i], weights) end
for i, weights in ipairs(pairs_of) do
  local key = KEYS[4 + #categories + i]
  add(key, weights)
  if redis.call('ZCARD', key) > kept + slack then redis.call('ZREMRANGEBYRANK', key, 0, -(kept + 1)) end
end
return 1
