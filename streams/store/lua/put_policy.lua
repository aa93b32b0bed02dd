-- Replace the statistics of one source if they include up to the expected offset.
-- KEYS: statistics, offsets. ARGV: source, expected offset, new offset, statistics.
if tonumber(redis.call('HGET', KEYS[2], ARGV[1]) or '-1') ~= tonumber(ARGV[2]) then return 0 end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
redis.call('HSET', KEYS[1], ARGV[1], ARGV[4])
return 1
