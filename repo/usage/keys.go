package usage

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/sony/gobreaker/v2"

	"github.com/seed14a526e0/relaystore/db"
)

const (
	// keysTTL is how long a key is known to exist.
	keysTTL = time.Minute
	// maxKnown bounds the known keys, at about 60 bytes each.
	maxKnown = 100_000
	// keysTimeout is how long a record waits for PostgreSQL to say whether its key
	// exists, and keysPause how long nobody asks after that failed.
	keysTimeout = time.Second
	keysPause   = time.Second
)

// knownKeys remembers which keys exist, so that write_behind refuses unknown ones
// without a look at PostgreSQL for each record. While PostgreSQL does not answer,
// all are taken for known: the flush decides.
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
	ids := make([]uuid.UUID, 0, len(missing))
	for id := range missing {
		ids = append(ids, id)
	}
	_, err := k.breaker.Execute(func() (struct{}, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keysTimeout) // a caller who leaves proves nothing
		defer cancel()
		return struct{}{}, k.repo.Primary.Retrying(0).Read(ctx, func(ctx context.Context, c db.DBTX) error {
			rows, err := k.repo.queries.APIKeyNames(ctx, c, ids)
			for _, row := range rows {
				delete(missing, row.ID)
			}
			return err
		})
	})
	if err != nil {
		return nil
	}
	k.add(ids, missing)
	return missing
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
