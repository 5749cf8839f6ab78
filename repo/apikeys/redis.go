package apikeys

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/redis/rueidis"
	"golang.org/x/text/cases"
	"golang.org/x/text/language"

	"github.com/seed14a526e0/relaystore/internal/legacy"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

// onRedis is the Repo where Redis is the primary: the legacy service's layout, which
// that service may read and write meanwhile. It caches nothing.
type onRedis struct {
	*Repo

	store *strategy.Redis
}

// redis gives the Redis side, or nil where the keys are in PostgreSQL.
func (r *Repo) redis() *onRedis {
	store := r.Place.Redis()
	if store == nil {
		return nil
	}
	return &onRedis{r, store}
}

func redisKey(id uuid.UUID) string { return "apikey:" + id.String() }

const (
	hashMap = "apikey:hash_map"
	oldHash = "apikey_hash:" // another way to find a key, which restores still write
)

// read is the one way to look at keys.
func (s *onRedis) read(ctx context.Context, f func(context.Context, rueidis.Client) error) error {
	if err := s.Primary.RefuseTx(ctx, strategy.APIKey); err != nil {
		return err
	}
	return s.store.Read(ctx, f)
}

// keyLife is how long a key lives that nobody writes or uses: the service's own.
const keyLife = 365 * 24 * time.Hour

// commitScript writes a change of one key, where what it was made from still stands:
// the hash, the look-up by hash in both directions and, where the service has made
// them, the indexes. It answers ok, changed, or what is taken: id, hash. Where an index is
// damaged, nothing is written: the service goes on by it.
var commitScript = strategy.NewScript(`
local key, map, id, new = KEYS[1], KEYS[2], ARGV[1], ARGV[2] == '1'
local at = 3
local function take()
	local n, list = tonumber(ARGV[at]), {}
	for i = 1, n do list[i] = ARGV[at + i] end
	at = at + n + 1
	return list
end
local seen, set, unset, drop, add, keep, index, off, on = take(), take(), take(), take(), take(), take(), take(), take(), take()
if new and redis.call('EXISTS', key) == 1 then return 'id' end
if not holds(map, 'hash') then return damaged(map) end
for i = 1, #seen, 2 do
	local now = redis.call('HGET', key, seen[i])
	if (now and '=' .. now or '') ~= seen[i + 1] then return 'changed' end
end
for _, hash in ipairs(add) do
	local other = redis.call('HGET', map, hash)
	if other and other ~= id then
		local held = redis.pcall('HMGET', 'apikey:' .. other, 'apiKey', 'relaystoreHash', 'isDeleted')
		if not held.err and held[1] and held[3] ~= 'true' and (held[1] == hash or held[2] == hash .. ':' .. held[1]) then return 'hash' end
	end
end
local indexed = redis.call('EXISTS', 'apikey:index:version') == 1
if indexed then
	local kinds = {
		{'apikey:idx:createdAt', 'zset'}, {'apikey:idx:lastUsedAt', 'zset'}, {'apikey:idx:name', 'zset'}, {'apikey:idx:all', 'set'},
		{'apikey:set:active', 'set'}, {'apikey:set:deleted', 'set'}, {'apikey:tags:all', 'set'},
	}
	for _, tags in ipairs({off, on}) do
		for _, tag in ipairs(tags) do kinds[#kinds + 1] = {'apikey:tag:' .. tag, 'set'} end
	end
	for _, k in ipairs(kinds) do
		if not holds(k[1], k[2]) then return damaged(k[1]) end
	end
end
for i = 1, #set, 1000 do redis.call('HSET', key, unpack(set, i, math.min(i + 999, #set))) end
for i = 1, #unset, 1000 do redis.call('HDEL', key, unpack(unset, i, math.min(i + 999, #unset))) end
redis.call('EXPIRE', key, index[1])
for _, hash in ipairs(drop) do
	if redis.call('HGET', map, hash) == id then redis.call('HDEL', map, hash) end
	redis.call('DEL', '` + oldHash + `' .. hash)
end
for _, hash in ipairs(add) do redis.call('HSET', map, hash, id) end
for _, hash in ipairs(keep) do redis.call('HSETNX', map, hash, id) end
if not indexed then return 'ok' end
local function member(set, yes) redis.call(yes == '1' and 'SADD' or 'SREM', set, id) end
redis.call('ZADD', 'apikey:idx:createdAt', index[2], id)
redis.call('ZADD', 'apikey:idx:lastUsedAt', 'NX', index[3], id)
for i = 1, #set, 2 do
	if set[i] == 'lastUsedAt' then redis.call('ZADD', 'apikey:idx:lastUsedAt', index[3], id) end
end
if index[4] ~= index[5] then redis.call('ZREM', 'apikey:idx:name', index[4]) end
redis.call('ZADD', 'apikey:idx:name', 0, index[5])
redis.call('SADD', 'apikey:idx:all', id)
member('apikey:set:active', index[6])
member('apikey:set:deleted', index[7])
for _, tag in ipairs(off) do
	redis.call('SREM', 'apikey:tag:' .. tag, id)
	if redis.call('EXISTS', 'apikey:tag:' .. tag) == 0 then redis.call('SREM', 'apikey:tags:all', tag) end
end
for _, tag in ipairs(on) do
	redis.call('SADD', 'apikey:tag:' .. tag, id)
	redis.call('SADD', 'apikey:tags:all', tag)
end
return 'ok'
`)

// What commit answers.
const (
	committed = "ok"
	changed   = "changed"
	idTaken   = "id"
	hashTaken = "hash"
)

// guarded are fields that a change is always made from: what the indexes follow.
var guarded = []string{legacy.FieldName, legacy.FieldTags, legacy.FieldIsActive, legacy.FieldIsDeleted, legacy.FieldHash, legacy.FieldNativeHash}

// commit writes what differs between two states of a key, of which fields are the
// first one's texts in Redis; a new key has none.
func (s *onRedis) commit(ctx context.Context, id uuid.UUID, fields map[string]string, was, is *legacy.Key) (string, error) {
	if err := s.Primary.RefuseTx(ctx, strategy.APIKey); err != nil {
		return "", err
	}
	call := commitCall(id, fields, was, is)
	reply, err := s.store.Write(ctx, strategy.APIKey, commitScript, call.Keys, call.Args)
	if err != nil {
		return "", err
	}
	return reply.ToString()
}

func commitCall(id uuid.UUID, fields map[string]string, was, is *legacy.Key) strategy.Call {
	set, unset, seen := differences(fields, was, is)
	drop, add, keep := hashChanges(fields == nil, was, is)
	args := []string{id.String(), bit(fields == nil)}
	for _, list := range [][]string{seen, set, unset, drop, add, keep, indexOf(id, was, is), without(was.Tags, is.Tags), is.Tags} {
		args = append(append(args, strconv.Itoa(len(list))), list...)
	}
	return strategy.Call{Keys: []string{redisKey(id), hashMap}, Args: args}
}

// differences gives the fields to write and to remove, and what the change is made
// from. A field whose text means the same stays as somebody else has written it.
func differences(fields map[string]string, was, is *legacy.Key) (set, unset, seen []string) {
	before, after := was.Fields(), is.Fields()
	if fields == nil {
		before = nil
	}
	made := slices.Clone(guarded)
	for name, text := range after {
		if old, had := before[name]; !had || old != text {
			set, made = append(set, name, text), append(made, name)
		}
	}
	for name := range before {
		if _, has := after[name]; !has {
			unset, made = append(unset, name), append(made, name)
		}
	}
	if fields == nil {
		return set, nil, nil
	}
	slices.Sort(made)
	for _, name := range slices.Compact(made) {
		if name == legacy.FieldUpdatedAt {
			continue // each change has its own
		}
		text, has := fields[name]
		if has {
			text = "=" + text
		}
		seen = append(seen, name, text)
	}
	return set, unset, seen
}

// hashChanges says which hashes find the key no more, which do from now on, and which
// ought to.
func hashChanges(isNew bool, was, is *legacy.Key) (drop, add, keep []string) {
	if is.IsDeleted {
		return was.Hashes(), nil, nil
	}
	if isNew {
		return nil, is.Hashes(), nil
	}
	drop = without(was.Hashes(), is.Hashes())
	return drop, without(is.Hashes(), was.Hashes()), without(was.Hashes(), drop)
}

func without(list, others []string) (rest []string) {
	for _, v := range list {
		if !slices.Contains(others, v) {
			rest = append(rest, v)
		}
	}
	return rest
}

// indexOf gives what the indexes hold of a key, behind its life in seconds.
func indexOf(id uuid.UUID, was, is *legacy.Key) []string {
	return []string{
		strconv.Itoa(int(keyLife / time.Second)), millis(is.CreatedAt), millis(is.LastUsedAt), indexName(was.Name, id), indexName(is.Name, id),
		bit(is.IsActive && !is.IsDeleted), bit(is.IsDeleted),
	}
}

// indexName is a member of the index by name, lowered as JavaScript does: by Unicode's
// full mapping.
func indexName(name string, id uuid.UUID) string {
	return cases.Lower(language.Und).String(name) + "\x00" + id.String()
}

func millis(t time.Time) string {
	if t.IsZero() {
		return "0"
	}
	return strconv.FormatInt(t.UnixMilli(), 10)
}

func bit(yes bool) string {
	if yes {
		return "1"
	}
	return "0"
}

// fields gives the whole hash of a key; none are an empty map.
func (s *onRedis) fields(ctx context.Context, id uuid.UUID) (fields map[string]string, err error) {
	err = s.read(ctx, func(ctx context.Context, c rueidis.Client) (err error) {
		fields, err = c.Do(ctx, c.B().Hgetall().Key(redisKey(id)).Build()).AsStrMap()
		return err
	})
	return fields, err
}

// change makes a key what f makes of it, again and again while others change what it
// is made from: each time at least one of them is through. A key that is deleted, or
// unknown, is RecordNotFound. f replaces lists and maps and leaves the old ones alone.
func (s *onRedis) change(ctx context.Context, id uuid.UUID, f func(*legacy.Key) error) (legacy.Key, error) {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	for {
		fields, err := s.fields(ctx, id)
		if err != nil {
			return legacy.Key{}, err
		}
		was, _ := legacy.ParseKey(id.String(), fields)
		if len(fields) == 0 || was.IsDeleted {
			return legacy.Key{}, errUnknown
		}
		is := was
		if err := f(&is); err != nil {
			return legacy.Key{}, err
		}
		outcome, err := s.commit(ctx, id, fields, &was, &is)
		switch {
		case err != nil:
			return legacy.Key{}, err
		case outcome == committed:
			return is, nil
		case outcome != changed:
			return legacy.Key{}, taken(outcome)
		}
	}
}

func (s *onRedis) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, has := ctx.Deadline(); has {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, s.store.OpTimeout)
}

// taken is the refusal that names what another key has.
func taken(outcome string) error {
	field := "hashedKey"
	if outcome == idTaken {
		field = "id"
	}
	return result.From(result.DuplicateKey).With("field", field)
}

// ownID tells whether a legacy id is one that this package takes.
func ownID(text string) (uuid.UUID, bool) {
	id, err := uuid.Parse(text)
	return id, err == nil && id != uuid.Nil && text == strings.ToLower(text) && len(text) == 36
}
