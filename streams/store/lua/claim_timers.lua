-- Lease the timers that are still due: whoever comes second gets nothing.
-- KEYS, two for each: due, timers. ARGV: now, end of the lease, length of a ref, then members.
-- Returns when each was due, or false.
local now, till, width = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local found = {}
for i = 1, #KEYS / 2 do
  local due, timers, member = KEYS[2 * i - 1], KEYS[2 * i], ARGV[3 + i]
  local score = redis.call('ZSCORE', due, member)
  found[i] = false
  if score and tonumber(score) <= now then
    local held = redis.call('HGET', timers, string.sub(member, 1, width))
    local at = held and cmsgpack.unpack(held)[string.sub(member, width + 1)]
    if at then
      redis.call('ZADD', due, till, member)
      found[i] = at
    else
      redis.call('ZREM', due, member)
    end
  end
end
return found
