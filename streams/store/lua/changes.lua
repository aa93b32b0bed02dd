-- The items changed after a sequence number, in order. KEYS: items, log. ARGV: sequence number, limit.
-- Returns a flat list of item, sequence number; and the data of each.
local log = redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. ARGV[1], '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[2])
if #log == 0 then return {} end
local items = {}
for i = 1, #log, 2 do items[#items + 1] = log[i] end
return { log, redis.call('HMGET', KEYS[1], unpack(items)) }
