-- KEYS: decisions, one for each asked. ARGV: decision ids. Returns the records.
local found = {}
for i, key in ipairs(KEYS) do found[i] = redis.call('HGET', key, ARGV[i]) end
return found
