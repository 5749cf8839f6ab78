package usage

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/redis/rueidis"
	"github.com/sony/gobreaker/v2"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/internal/legacy"
)

const (
	// keysTTL is how long a key is known to exist.
	keysTTL = time.Minute
	// maxKnown bounds the known keys, at about 60 bytes each.
	maxKnown = 100_000
	// keysTimeout is how long a record waits to hear whether its key
	// exists, and keysPause how long nobody asks after that failed.
	keysTimeout = time.Second
	keysPause   = time.Second
)

// knownKeys remembers which keys exist, so that unknown ones are refused without a look
// for each record: under write_behind, and where records and keys have different
// primaries. While the keys' does not answer, all are taken for known; under
// write_behind the flush decides.
type knownKeys struct {
	repo    *Repo
	breaker *gobreaker.CircuitBreaker[struct{}]

	mu   sync.RWMutex
	seen map[uuid.UUID]time.Time
}

func newKnownKeys(r *Repo) *knownKeys {
	return &knownKeys{
		repo: r, seen: map[uuid.UUID]time.Time{},
		breaker: gobreaker.NewCircuitBreaker[struct{}](gobreaker.Settings{
			Timeout:     keysPause,
			ReadyToTrip: func(n gobreaker.Counts) bool { return n.ConsecutiveFailures > 0 },
		}),
	}
}

// unknown gives the keys of entries that do not exist.
func (k *knownKeys) unknown(ctx context.Context, entries []entry) map[uuid.UUID]struct{} {
	missing := k.missing(entries)
	if len(missing) == 0 {
		return nil
	}
	ids := slices.Collect(maps.Keys(missing))
	told := false
	_, _ = k.breaker.Execute(func() (struct{}, error) {
		asking, cancel := context.WithTimeout(ctx, keysTimeout)
		defer cancel()
		err := k.lookUp(asking, ids, missing)
		if told = err == nil; ctx.Err() != nil {
			return struct{}{}, nil // a caller who leaves proves nothing
		}
		return struct{}{}, err
	})
	if !told {
		return nil
	}
	k.add(ids, missing)
	return missing
}

// lookUp takes the keys that exist out of missing.
func (k *knownKeys) lookUp(ctx context.Context, ids []uuid.UUID, missing map[uuid.UUID]struct{}) error {
	if redis := k.repo.Keys.Redis(); redis != nil {
		return redis.Read(ctx, func(ctx context.Context, client rueidis.Client) error {
			found, err := each(ctx, &redisReader{client: client}, ids, func(id uuid.UUID) rueidis.Completed {
				return client.B().Exists().Key(legacy.Name{Kind: legacy.APIKey, ID: id.String()}.Key()).Build()
			}, (*rueidis.RedisMessage).AsBool)
			for i, is := range found {
				if is {
					delete(missing, ids[i])
				}
			}
			return err
		})
	}
	return k.repo.Primary.Retrying(0).Read(ctx, func(ctx context.Context, c db.DBTX) error {
		rows, err := k.repo.queries.APIKeyNames(ctx, c, ids)
		for _, row := range rows {
			delete(missing, row.ID)
		}
		return err
	})
}

// missing gives the keys that are not known.
func (k *knownKeys) missing(entries []entry) map[uuid.UUID]struct{} {
	k.mu.RLock()
	defer k.mu.RUnlock()
	since := k.repo.now().Add(-keysTTL)
	var missing map[uuid.UUID]struct{}
	for _, e := range entries {
		if k.seen[e.key].After(since) {
			continue
		}
		if missing == nil {
			missing = make(map[uuid.UUID]struct{})
		}
		missing[e.key] = struct{}{}
	}
	return missing
}

// add remembers ids but for some.
func (k *knownKeys) add(ids []uuid.UUID, but map[uuid.UUID]struct{}) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.seen)+len(ids) > maxKnown {
		clear(k.seen)
	}
	now := k.repo.now()
	for _, id := range ids {
		if _, is := but[id]; !is {
			k.seen[id] = now
		}
	}
}
