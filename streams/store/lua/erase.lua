-- Leave a tombstone where a shopper was. KEYS: profile, decisions, order, lists, order of lists, exports, order of exports. ARGV: mark of a tombstone, tombstone, milliseconds to live.
-- Returns 1 if there was a profile, and how many decisions.
local held = redis.call('GET', KEYS[1]) or ''
local version = #held >= 8 and struct.unpack('>I8', held) or 0
local decisions = redis.call('HLEN', KEYS[2]) + redis.call('HLEN', KEYS[4])
redis.call('DEL', unpack(KEYS, 2))
redis.call('SET', KEYS[1], struct.pack('>I8', version + 1) .. ARGV[2], 'PX', ARGV[3])
return { (#held > 8 and string.sub(held, 9, 8 + #ARGV[1]) ~= ARGV[1]) and 1 or 0, decisions }
