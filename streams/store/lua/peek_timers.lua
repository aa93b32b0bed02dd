-- KEYS: due, by shard. ARGV: now, limit. Returns a flat list of member, score for each shard.
local found = {}
for i, key in ipairs(KEYS) do
  found[i] = redis.call('ZRANGEBYSCORE', key, '-inf', ARGV[1], 'WITHSCORES', 'LIMIT', 0, ARGV[2])
end
return found
