package accounts

import (
	"strconv"

	"github.com/seed14a526e0/relaystore/internal/legacy"
	"github.com/seed14a526e0/relaystore/strategy"
)

// Each script changes one account whole or not at all, at the epoch that it was sent
// under. An account is a hash, or, of Bedrock, a text, whose one field has the name "".
const scriptWords = `
local at = 0
local function pop() at = at + 1 return ARGV[at] end
local function count() return tonumber(pop()) end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
`

// counted puts the number of pairs before them.
func counted(pairs []string) []string {
	return append([]string{strconv.Itoa(len(pairs) / 2)}, pairs...)
}

// changeScript: KEYS account, refresh, lock; ARGV kind, watched pairs, pairs to set, and
// what becomes of the refresh. It gives Redis' clock, 0 where a watched field differs or
// the account is gone.
var changeScript = strategy.NewScript(scriptWords + refreshWords + `
local kind = pop()
if redis.call('TYPE', KEYS[1]).ok ~= kind then return 0 end
for _ = 1, count() do
  local name, value = pop(), pop()
  local is = kind == 'hash' and redis.call('HGET', KEYS[1], name) or kind == 'string' and redis.call('GET', KEYS[1])
  if (is or '') ~= value then return 0 end
end
local set = {}
for i = 1, 2 * count() do set[i] = pop() end
local outcome = pop()
if outcome then
  if not holds(KEYS[2], 'hash') then return damaged(KEYS[2]) end
  if not holds(KEYS[3], 'string') then return damaged(KEYS[3]) end
end
for i = 1, #set, 2 do
  if kind == 'hash' then redis.call('HSET', KEYS[1], set[i], set[i + 1]) else redis.call('SET', KEYS[1], set[i + 1], 'KEEPTTL') end
end
if outcome == 'failed' then failed() elseif outcome == 'done' then done() end
return now`)

// createScript: KEYS the index, its none key, the shared set or the index again, and all
// the keys that the account may have, its own first; ARGV id, 1 where it is shared,
// kind, pairs to set. It is 0 where one of them is taken.
var createScript = strategy.NewScript(scriptWords + `
local id, shared, kind = pop(), pop(), pop()
for i = 4, #KEYS do
  if redis.call('EXISTS', KEYS[i]) == 1 then return 0 end
end
for _, set in ipairs({KEYS[1], KEYS[3]}) do
  if not holds(set, 'set') then return damaged(set) end
end
for _ = 1, count() do
  local name, value = pop(), pop()
  if kind == 'hash' then redis.call('HSET', KEYS[4], name, value) else redis.call('SET', KEYS[4], value) end
end
redis.call('SADD', KEYS[1], id)
redis.call('DEL', KEYS[2])
if shared == '1' then redis.call('SADD', KEYS[3], id) end
return 1`)

// deleteScript: KEYS the account, its refresh, its index, the shared set or the index
// again, and the sets of its groups; ARGV id, and what a group's set begins with. It
// tells how many accounts it has deleted.
var deleteScript = strategy.NewScript(`
for i = 3, #KEYS do
  if not holds(KEYS[i], 'set') then return damaged(KEYS[i]) end
  if i > 4 then
    for _, group in ipairs(redis.call('SMEMBERS', KEYS[i])) do
      if not holds(ARGV[2] .. group, 'set') then return damaged(ARGV[2] .. group) end
    end
  end
end
local deleted = redis.call('DEL', KEYS[1])
redis.call('DEL', KEYS[2])
redis.call('SREM', KEYS[3], ARGV[1])
redis.call('SREM', KEYS[4], ARGV[1])
for i = 5, #KEYS do
  for _, group in ipairs(redis.call('SMEMBERS', KEYS[i])) do redis.call('SREM', ARGV[2] .. group, ARGV[1]) end
  redis.call('DEL', KEYS[i])
end
return deleted`)

// indexScript: KEYS a place's index and its none key; ARGV how many seconds it is known
// that there is none, 0 is for ever, and the ids that a scan has found.
var indexScript = strategy.NewScript(`
if #ARGV > 1 then
  redis.call('SADD', KEYS[1], unpack(ARGV, 2))
elseif redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('SET', KEYS[2], '1')
  if ARGV[1] ~= '0' then redis.call('EXPIRE', KEYS[2], ARGV[1]) end
end
return 1`)

// sharedOr gives the place's set of shared accounts, or its index, where a script
// touches neither.
func sharedOr(p legacy.AccountPlace) string {
	if p.Shared() == "" {
		return p.Index()
	}
	return p.Shared()
}
