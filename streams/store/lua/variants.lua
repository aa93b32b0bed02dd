-- KEYS: pools. Returns a flat list of variant id, text for each.
local found = {}
for i, key in ipairs(KEYS) do found[i] = redis.call('HGETALL', key) end
return found
