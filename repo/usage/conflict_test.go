package usage

import (
	"context"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// crowd is 64 writers of two processes on the same keys.
type crowd struct {
	*bundle

	repos []*Repo
	calls atomic.Int64
	mu    sync.Mutex
	seen  map[[2]string]int // by key and requestId: answers that were no duplicate
}

const (
	crowdWriters = 64
	crowdCalls   = 30
	// crowdIDs are so few that most meet in two batches at once, and each round has
	// others, so that those are new.
	crowdIDs = 20
)

// call records some records with keys and requestIds in random order, by one call or
// by one each.
func (c *crowd) call(ctx context.Context, r *Repo) error {
	recs := make([]Record, 1+rand.IntN(40))
	round := int(c.calls.Add(1)) / crowdWriters * crowdIDs
	for i := range recs {
		recs[i] = sample(c.keys[rand.IntN(len(c.keys))])
		recs[i].RequestID = strconv.Itoa(round + rand.IntN(crowdIDs))
		recs[i].Timestamp = time.Now().Add(-time.Duration(rand.IntN(120)) * time.Minute)
		recs[i].Model, recs[i].AccountID = models[rand.IntN(len(models))], accounts[rand.IntN(len(accounts))]
	}
	if len(recs)%2 == 0 {
		recs = recs[:1]
		s := r.RecordUsage(ctx, recs[0])
		c.note(recs[0], s.Duplicate)
		return s.Err()
	}
	for i, s := range r.RecordUsageBatch(ctx, recs) {
		if s.Err() != nil {
			return s.Err()
		}
		c.note(recs[i], s.Duplicate)
	}
	return nil
}

func (c *crowd) note(r Record, duplicate bool) {
	if duplicate {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen[[2]string{r.APIKeyID, r.RequestID}]++
}

// TestNoDeadlocks lets 64 writers of two processes meet over 20 keys and few
// requestIds in random order, while both compact and a third one repairs: PostgreSQL
// has no deadlock to break, and each requestId counts once.
func TestNoDeadlocks(t *testing.T) {
	t.Parallel()
	c := &crowd{bundle: setup(t, 20), seen: make(map[[2]string]int)}
	c.repos = []*Repo{open(t, c.url), open(t, c.url)}
	errs := make(chan error, crowdWriters)
	var wg sync.WaitGroup
	for w := range crowdWriters {
		wg.Go(func() {
			for range crowdCalls {
				if err := c.call(t.Context(), c.repos[w%2]); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	writing, stop := context.WithCancel(t.Context())
	go func() {
		wg.Wait()
		stop()
	}()
	for n := 0; writing.Err() == nil || n == 0; n++ {
		require.Zero(t, c.verify(t, true).Wrong)
	}
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
	for id, n := range c.seen {
		require.Equal(t, 1, n, "%v", id)
	}
	require.EqualValues(t, len(c.seen), c.count(t, "SELECT count(*) FROM usage_records"))
	c.requireRollupsEqualRecords(t)
	c.requireNoDeadlock(t)
}

// requireNoDeadlock closes every connection first: what a session counted shows
// when it has ended.
func (c *crowd) requireNoDeadlock(t *testing.T) {
	t.Helper()
	for _, r := range append(c.repos, c.Repo) {
		require.NoError(t, r.Close(t.Context()))
		r.Primary.Pool.Close()
	}
	c.pool.Close()
	conn, err := pgx.Connect(t.Context(), c.url)
	require.NoError(t, err)
	defer conn.Close(context.Background())
	number := func(sql string) (n int) {
		require.NoError(t, conn.QueryRow(t.Context(), sql).Scan(&n))
		return n
	}
	require.Eventually(t, func() bool {
		return number("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()") == 0
	}, time.Minute, time.Millisecond)
	require.Zero(t, number("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"))
}
