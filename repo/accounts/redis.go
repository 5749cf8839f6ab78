package accounts

import (
	"context"
	"hash/maphash"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/redis/rueidis"
	"golang.org/x/sync/singleflight"

	"github.com/seed14a526e0/relaystore/internal/legacy"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

var (
	errRedisInTx   = result.New(result.InvalidQuery, "accounts are in Redis, which takes no part in transactions")
	errNoLegacyKey = result.Invalid("RELAYSTORE_LEGACY_ENCRYPTION_KEY", "required by an account's secrets where accounts are in Redis")
)

// legacyAccounts are the accounts of a Redis primary, in the legacy service's layout.
type legacyAccounts struct {
	*Repo
	redis *strategy.Redis
}

// legacyState is what the calls of a process share.
type legacyState struct {
	once   sync.Once
	cipher *legacy.Cipher // nil without an ENCRYPTION_KEY
	scans  singleflight.Group
	turns  [turnCount]chan struct{}
}

// turnCount bounds the waiting rooms in which changes of one account queue up.
const turnCount = 64

func newLegacyState() *legacyState {
	s := &legacyState{}
	for i := range s.turns {
		s.turns[i] = make(chan struct{}, 1)
	}
	return s
}

// onRedis gives the accounts of the Redis primary, or nil where PostgreSQL is the
// primary. Inside a transaction there are none.
func (r *Repo) onRedis() (*legacyAccounts, error) {
	redis := r.Place.Redis()
	switch {
	case redis == nil:
		return nil, nil
	case r.Primary.InTx():
		return nil, errRedisInTx
	}
	return r.legacyAt(redis), nil
}

func (r *Repo) legacyAt(redis *strategy.Redis) *legacyAccounts {
	r.legacy.once.Do(func() {
		if redis.EncryptionKey != "" {
			r.legacy.cipher = legacy.NewCipher(redis.EncryptionKey)
		}
	})
	return &legacyAccounts{r, redis}
}

// found is an account as it lies in Redis.
type found struct {
	place  legacy.AccountPlace
	id     uuid.UUID
	fields map[string]string
	doc    string // what the fields of a Bedrock account come from
}

func (f *found) key() string { return f.place.Key(f.id.String()) }

// kind is the type of the place's keys.
func kind(p legacy.AccountPlace) string {
	if p.Platform == legacy.Bedrock {
		return "string"
	}
	return "hash"
}

func accountKeys(id uuid.UUID) (keys, kinds []string) {
	for _, p := range legacy.AccountPlaces {
		keys, kinds = append(keys, p.Key(id.String())), append(kinds, kind(p))
	}
	return keys, kinds
}

// findScript tells in which of the places an account is, and what is there.
var findScript = rueidis.NewLuaScriptReadOnly(`
for i, key in ipairs(KEYS) do
  if redis.call('TYPE', key).ok == ARGV[i] then
    return {i, redis.call(ARGV[i] == 'hash' and 'HGETALL' or 'GET', key)}
  end
end
return false`)

// find reads an account, in one round trip; pgx.ErrNoRows means that there is none.
func (l *legacyAccounts) find(ctx context.Context, id uuid.UUID) (*found, error) {
	keys, kinds := accountKeys(id)
	reply, err := l.look(ctx, findScript, keys, kinds)
	if err != nil {
		return nil, err
	}
	return readFound(id, reply)
}

// look runs a script that only reads; pgx.ErrNoRows where it finds nothing.
func (l *legacyAccounts) look(ctx context.Context, script *rueidis.Lua, keys, args []string) (reply []rueidis.RedisMessage, err error) {
	err = l.redis.Read(ctx, func(ctx context.Context, c rueidis.Client) (err error) {
		reply, err = script.Exec(ctx, c, keys, args).ToArray()
		if rueidis.IsRedisNil(err) {
			reply, err = nil, nil
		}
		return err
	})
	if err == nil && len(reply) == 0 {
		err = pgx.ErrNoRows
	}
	return reply, err
}

// readFound takes the number of a place and what is there.
func readFound(id uuid.UUID, reply []rueidis.RedisMessage) (*found, error) {
	i, err := reply[0].AsInt64()
	if err != nil {
		return nil, err
	}
	return newFound(legacy.AccountPlaces[i-1], id, reply[1])
}

// errDamaged tells that what is at an account's key is no account.
var errDamaged = result.New(result.Internal, "the account's document in Redis is damaged")

func newFound(p legacy.AccountPlace, id uuid.UUID, content rueidis.RedisMessage) (at *found, err error) {
	at = &found{place: p, id: id}
	if p.Platform != legacy.Bedrock {
		at.fields, err = content.AsStrMap()
		return at, err
	}
	if at.doc, err = content.ToString(); err != nil {
		return nil, err
	}
	if at.fields, err = legacy.BedrockFields(at.doc); err != nil {
		return nil, errDamaged
	}
	return at, nil
}

// patch changes some fields of an account, if these and the watched ones are still as
// they were read.
type patch struct {
	watch []string
	set   map[string]string
	// then is what becomes of the account's refresh in the same step; it may be nil.
	then []string
}

// change reads an account and writes what plan makes of it, again where somebody has
// changed it between. Those of one process wait for each other.
func (l *legacyAccounts) change(ctx context.Context, id uuid.UUID, plan func(*found) (patch, error)) (at time.Time, err error) {
	ctx, cancel := l.Primary.Bounded(ctx)
	defer cancel()
	leave, err := l.turn(ctx, id)
	if err != nil {
		return at, err
	}
	defer leave()
	for {
		old, err := l.find(ctx, id)
		if err != nil {
			return at, err
		}
		p, err := plan(old)
		if err != nil {
			return at, err
		}
		at, done, err := l.patch(ctx, old, p)
		if done || err != nil {
			return at, err
		}
		if !sleep(ctx, rand.N(5*time.Millisecond)) { //nolint:gosec // writers only shall not go in step
			return at, ctx.Err()
		}
	}
}

var turnSeed = maphash.MakeSeed()

func (l *legacyAccounts) turn(ctx context.Context, id uuid.UUID) (leave func(), err error) {
	turn := l.legacy.turns[maphash.Bytes(turnSeed, id[:])%turnCount]
	select {
	case turn <- struct{}{}:
		return func() { <-turn }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// patch is false where the account has changed, or is gone. at is Redis' clock.
func (l *legacyAccounts) patch(ctx context.Context, old *found, p patch) (at time.Time, done bool, err error) {
	args, err := p.arguments(old)
	if err != nil {
		return at, false, err
	}
	id := old.id.String()
	reply, err := l.redis.Write(ctx, strategy.Account, changeScript, []string{old.key(), refreshKey(old.id), old.place.RefreshLock(id)}, args)
	if err != nil {
		return at, false, err
	}
	ms, err := reply.AsInt64()
	return time.UnixMilli(ms).UTC(), ms > 0, err
}

// arguments are those of changeScript.
func (p *patch) arguments(old *found) ([]string, error) {
	watch, set := old.watched(p), old.news(p.set)
	if old.place.Platform == legacy.Bedrock {
		if len(set) > 0 {
			doc, err := legacy.PatchBedrock(old.doc, set)
			if err != nil {
				return nil, errDamaged
			}
			set = map[string]string{"": doc}
		}
		watch = []string{"", old.doc}
	}
	args := append([]string{kind(old.place)}, counted(watch)...)
	pairs := make([]string, 0, 2*len(set))
	for name, value := range set {
		pairs = append(pairs, name, value)
	}
	return append(append(args, counted(pairs)...), p.then...), nil
}

// news are the fields that get another value; one that is not there is "".
func (f *found) news(set map[string]string) map[string]string {
	news := make(map[string]string, len(set))
	for name, value := range set {
		if f.fields[name] != value {
			news[name] = value
		}
	}
	return news
}

func (f *found) watched(p *patch) (pairs []string) {
	names := slices.Clone(p.watch)
	for name := range p.set {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if name != "updatedAt" { // nothing hangs on it
			pairs = append(pairs, name, f.fields[name])
		}
	}
	return pairs
}
