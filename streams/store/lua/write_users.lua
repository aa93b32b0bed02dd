-- Set each profile whose version is as expected; return the positions of the others.
-- KEYS: profiles. ARGV, three for each: expected version (8 bytes, empty for none), milliseconds to live, new value.
local lost = {}
for i, key in ipairs(KEYS) do
  local version = redis.call('GETRANGE', key, 0, 7)
  if #version < 8 then version = '' end -- too short to be ours: treat as none
  if version == ARGV[3 * i - 2] then
    redis.call('SET', key, ARGV[3 * i], 'PX', ARGV[3 * i - 1])
  else
    lost[#lost + 1] = i
  end
end
return lost
