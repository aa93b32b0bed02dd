-- Keep records of decisions, the oldest of a shopper giving way. An erased shopper gets none.
-- KEYS, three for each: profile, decisions, order. ARGV: '1' to leave what is there, how many to keep, mark of a tombstone,
-- then three for each: decision id, record, milliseconds to live.
local only_new, kept, erased = ARGV[1] == '1', tonumber(ARGV[2]), ARGV[3]
for i = 1, #KEYS / 3 do
  local profile, decisions, order = KEYS[3 * i - 2], KEYS[3 * i - 1], KEYS[3 * i]
  local id, record, ttl = ARGV[3 * i + 1], ARGV[3 * i + 2], tonumber(ARGV[3 * i + 3])
  if redis.call('GETRANGE', profile, 8, 7 + #erased) ~= erased then
    if redis.call('HSETNX', decisions, id, record) == 1 then
      redis.call('RPUSH', order, id)
      if redis.call('LLEN', order) > kept then redis.call('HDEL', decisions, redis.call('LPOP', order)) end
    elseif not only_new then
      redis.call('HSET', decisions, id, record)
    end
    if redis.call('PTTL', decisions) < ttl then redis.call('PEXPIRE', decisions, ttl) end
    if redis.call('PTTL', order) < ttl then redis.call('PEXPIRE', order, ttl) end
  end
end
return 1
