package usage

import "github.com/seed14a526e0/relaystore/strategy"

// recordScript counts one record in the legacy layout. Redis does not take back what a
// script has done before it failed, so it reads all that it will change first, and
// writes when everything is what the layout says. KEYS are the requestId's, the API
// key's, then those of [touch] in its order; ARGV are the record's id, the requestId's
// TTL, whether the API key must be there, the touch, the cost, the record for the list
// and the event.
//
// A requestId's key holds the id of the record that has it: the same record again, after
// a lost answer, is WRITTEN and counts nothing.
var recordScript = strategy.NewScript(`
local was = redis.pcall('GET', KEYS[1])
if type(was) == 'table' then return damaged(KEYS[1]) end
if was == ARGV[1] then return 'WRITTEN' end
if was then return 'DUPLICATE' end
if ARGV[3] == '1' and redis.call('EXISTS', KEYS[2]) == 0 then return 'UNKNOWN' end

local call, pcall, unpack, tonumber = redis.call, redis.pcall, unpack, tonumber
local touch, cost = cjson.decode(ARGV[4]), ARGV[5]
local limit = 9007199254740991
local at = 2
local function next_key()
  at = at + 1
  return KEYS[at]
end
local function amount(text)
  if not text then return true end
  local n = string.match(text, '^[+-]?%d+%.?%d*[eE]?[+-]?%d*$') and tonumber(text)
  return n and math.abs(n) < limit
end
local function summed(key)
  local found = redis.pcall('GET', key)
  return type(found) ~= 'table' and amount(found)
end

local writes = {}
for _, h in ipairs(touch.hashes) do
  local key, set = next_key(), touch.fields[h[1] + 1]
  local names, by = set.names, set.by
  local found = pcall('HMGET', key, unpack(names))
  if found.err then return damaged(key) end
  local values = {}
  for i = 1, #names do
    local n = found[i]
    if n and n ~= '' then
      n = tonumber(n)
      if not n or n % 1 ~= 0 or n < 0 then return damaged(key) end
    else
      n = 0
    end
    n = n + by[i]
    if n > limit then return damaged(key) end
    values[2 * i - 1], values[2 * i] = names[i], n
  end
  writes[#writes + 1] = {key, h[2], 'HSET', values}
end
for _, ttl in ipairs(touch.costs) do
  local key = next_key()
  if not summed(key) then return damaged(key) end
  writes[#writes + 1] = {key, ttl, 'INCRBYFLOAT', {cost}}
end
for _, a in ipairs(touch.accounts) do
  local key, name, ttl = next_key(), a[1], a[3]
  local found = pcall('HMGET', key, 'cost:' .. name, 'requests:' .. name)
  if found.err or not amount(found[1]) or not string.match(found[2] or '0', '^%d+$') then return damaged(key) end
  writes[#writes + 1] = {key, ttl, 'HINCRBYFLOAT', {'cost:' .. name, cost}}
  writes[#writes + 1] = {key, 0, 'HINCRBY', {'requests:' .. name, a[2]}}
end
local empty = {}
for _, s in ipairs(touch.sets) do
  local key = next_key()
  if not holds(key, 'set') then return damaged(key) end
  writes[#writes + 1] = {key, s[2], 'SADD', {s[1]}}
  empty[#empty + 1] = key .. ':empty'
end
local list, stream = next_key(), next_key()
if not holds(list, 'list') then return damaged(list) end
if not holds(stream, 'stream') then return damaged(stream) end

local week = touch.week
if week then
  local day, hour = 1, 0
  local found = pcall('HMGET', KEYS[2], 'weeklyResetDay', 'weeklyResetHour')
  if not found.err then
    day, hour = math.floor(tonumber(found[1] or '') or 1), math.floor(tonumber(found[2] or '') or 0)
    if day < 1 or day > 7 then day = 1 end
    if hour < 0 or hour > 23 then hour = 0 end
  end
  local back = (week.day - day) % 7
  if back == 0 and week.hour < hour then back = 7 end
  local period = week.dates[back + 1] .. string.format('T%02d', hour)
  for _, family in ipairs({'usage:opus:', 'usage:opus:real:'}) do
    for _, k in ipairs({{family .. 'weekly:' .. week.id .. ':' .. period, week.ttl}, {family .. 'total:' .. week.id, 0}}) do
      if not summed(k[1]) then return damaged(k[1]) end
      writes[#writes + 1] = {k[1], k[2], 'INCRBYFLOAT', {cost}}
    end
  end
end

call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
for _, w in ipairs(writes) do
  call(w[3], w[1], unpack(w[4]))
  if w[2] > 0 then call('EXPIRE', w[1], w[2]) end
end
call('DEL', unpack(empty))
call('LPUSH', list, ARGV[6])
call('LTRIM', list, 0, 199)
call('EXPIRE', list, 7776000)
call('XADD', stream, 'MAXLEN', '~', 100000, '*', 'data', ARGV[7])
return 'NEW'
`)
