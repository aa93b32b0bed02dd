-- KEYS: pairs by item. ARGV: how many of each. Returns a flat list of item, weight for each.
local found = {}
for i, key in ipairs(KEYS) do found[i] = redis.call('ZREVRANGE', key, 0, ARGV[1] - 1, 'WITHSCORES') end
return found
