-- Replace a value if it is still the expected one (empty: there is none).
-- KEYS: value. ARGV: expected, new.
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1
