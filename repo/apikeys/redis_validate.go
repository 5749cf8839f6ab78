package apikeys

import (
	"context"
	"encoding/hex"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/redis/rueidis"

	"github.com/seed14a526e0/relaystore/cache"
	"github.com/seed14a526e0/relaystore/internal/legacy"
	"github.com/seed14a526e0/relaystore/strategy"
)

// findScript gives a key's id and some of its fields by its hash, in one round trip.
var findScript = rueidis.NewLuaScriptReadOnly(`
local id = redis.call('HGET', KEYS[1], ARGV[1])
if not id then
	local old = redis.pcall('HGET', KEYS[2], 'id')
	id = type(old) == 'string' and old
end
if not id then return false end
local fields = redis.pcall('HMGET', 'apikey:' .. id, unpack(ARGV, 2))
if fields.err then return false end
return {id, fields}
`)

// judged are the fields that validation looks at.
var judged = []string{
	legacy.FieldHash, legacy.FieldNativeHash, legacy.FieldIsActive, legacy.FieldIsDeleted, "permissions", "expiresAt",
	"expirationMode", "isActivated", "activationDays", "activationUnit", "concurrencyLimit", "dailyCostLimit", "rateLimitRequests",
}

// load finds a key by either hash; nil means that there is none. The look-up may name
// a key that is gone, or that has another hash by now: the key's own hash decides.
func (s *onRedis) load(ctx context.Context, hash *cache.Key) (*record, error) {
	digits := hex.EncodeToString(hash[:])
	var found []rueidis.RedisMessage
	err := s.read(ctx, func(ctx context.Context, c rueidis.Client) (err error) {
		found, err = findScript.Exec(ctx, c, []string{hashMap, oldHash + digits}, append([]string{digits}, judged...)).ToArray()
		if rueidis.IsRedisNil(err) {
			return nil
		}
		return err
	})
	if err != nil || len(found) != 2 {
		return nil, err
	}
	text, err := found[0].ToString()
	if err != nil {
		return nil, err
	}
	fields, err := fieldsOf(judged, found[1])
	if err != nil {
		return nil, err
	}
	l, _ := legacy.ParseKey(text, fields)
	id, ok := ownID(text)
	if !ok || l.IsDeleted || !slices.Contains(l.Hashes(), digits) {
		return nil, nil
	}
	return newRecord(knownOf(id, &l)), nil
}

// fieldsOf pairs the names that an HMGET asked for with what it gave.
func fieldsOf(names []string, reply rueidis.RedisMessage) (map[string]string, error) {
	values, err := reply.ToArray()
	if err != nil {
		return nil, err
	}
	fields := make(map[string]string, len(names))
	for i, v := range values {
		if text, err := v.ToString(); err == nil {
			fields[names[i]] = text
		}
	}
	return fields, nil
}

// errSettled ends a change that somebody else has made.
var errSettled = errors.New("settled")

// activate starts a key's life, unless somebody else was first or the key has changed.
func (s *onRedis) activate(ctx context.Context, rec *record, hash *cache.Key, now time.Time) (*record, error) {
	now = now.UTC().Truncate(time.Millisecond)
	_, err := s.change(ctx, rec.ID, func(l *legacy.Key) error {
		if !l.Waits() || !l.IsActive {
			return errSettled
		}
		l.IsActivated, l.ActivatedAt, l.UpdatedAt = true, now, s.tickMillis(l.UpdatedAt)
		k := knownOf(rec.ID, l)
		l.ExpiresAt = k.activatedUntil(now)
		return nil
	})
	if err != nil && !errors.Is(err, errSettled) {
		return nil, err
	}
	fresh, err := s.load(ctx, hash)
	if err == nil && fresh == nil {
		return nil, errUnknown
	}
	return fresh, err
}

// addNativeHash lets the native hash of a key find it, too.
func (s *onRedis) addNativeHash(ctx context.Context, id uuid.UUID, native []byte) error {
	_, err := s.change(ctx, id, func(l *legacy.Key) error {
		if l.NativeHash != "" {
			return errSettled
		}
		l.NativeHash = hex.EncodeToString(native)
		return nil
	})
	if errors.Is(err, errSettled) {
		return nil
	}
	return err
}

// useScript notes when keys were last used: in the hash, whose life begins anew, and in
// the index, never backwards, and not where another process has just done so.
var useScript = strategy.NewScript(`
local indexed = redis.call('EXISTS', 'apikey:index:version') == 1
if indexed and not holds('apikey:idx:lastUsedAt', 'zset') then return damaged('apikey:idx:lastUsedAt') end
for i = 2, #ARGV, 4 do
	local id, used, before, score = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
	local key = 'apikey:' .. id
	local last = redis.pcall('HGET', key, 'lastUsedAt')
	if (not last or type(last) == 'string' and last < before) and redis.call('EXISTS', key) == 1 then
		redis.call('HSET', key, 'lastUsedAt', used)
		redis.call('EXPIRE', key, ARGV[1])
		if indexed then redis.call('ZADD', 'apikey:idx:lastUsedAt', score, id) end
	end
end
return 'ok'
`)

// usedApart is how far two stored uses of a key are apart.
const usedApart = 50 * time.Second

func (s *onRedis) storeLastUsed(ctx context.Context, at map[uuid.UUID]time.Time) error {
	args := append(make([]string, 0, 1+4*len(at)), strconv.Itoa(int(keyLife/time.Second)))
	for id, t := range at {
		args = append(args, id.String(), legacy.FormatTime(t), legacy.FormatTime(t.Add(-usedApart)), millis(t))
	}
	_, err := s.store.Write(ctx, strategy.APIKey, useScript, nil, args)
	return err
}
