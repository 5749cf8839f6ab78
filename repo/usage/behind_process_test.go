package usage

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/testchild"
)

// A process is killed when it has committed and not acknowledged: another one
// finds that the ledger has everything.
func TestKilledBetweenCommitAndAcknowledgement(t *testing.T) {
	t.Parallel()
	for _, requestIDs := range []bool{false, true} {
		b := setupJournal(t, 1)
		p := b.silent(t)
		const records = 50
		for range records {
			r := sample(b.keys[0])
			if requestIDs {
				r.RequestID = uuid.NewString()
			}
			require.NoError(t, p.RecordUsage(t.Context(), r).Err())
		}
		c := b.play(t, "commits and dies")
		require.Equal(t, "committed "+strconv.Itoa(records), c.Line())
		require.Error(t, c.Wait())
		require.EqualValues(t, records, b.count(t, "SELECT count(*) FROM usage_records"))
		require.EqualValues(t, records, b.length(t, b.stream()))
		p.behind.journal.Start(p.flush)
		b.requireDrained(t)
		require.EqualValues(t, records, b.count(t, "SELECT count(*) FROM usage_records"))
		b.requireRequests(t, records)
	}
}

// A process is killed with entries that it has read: another one claims them.
func TestKilledWithEntries(t *testing.T) {
	t.Parallel()
	b := setupJournal(t, 1)
	p := b.silent(t)
	const records = 50
	for range records {
		require.NoError(t, p.RecordUsage(t.Context(), sample(b.keys[0])).Err())
	}
	c := b.play(t, "reads and waits")
	require.Equal(t, "read "+strconv.Itoa(records), c.Line())
	require.NoError(t, c.Process.Signal(syscall.SIGKILL))
	require.Error(t, c.Wait())
	b.requireUntouched(t)
	p.behind.journal.Start(p.flush)
	b.requireDrained(t)
	b.requireRequests(t, records)
}

// fleet is gateways that are killed and replaced, and what they said.
type fleet struct {
	b            *journalBundle
	t            *testing.T
	said         sync.WaitGroup
	mu           sync.Mutex
	tried, acked map[string]bool
}

func (f *fleet) gateway() *testchild.Process {
	c := f.b.play(f.t, "gateway")
	f.said.Go(func() {
		for line := c.Line(); line != ""; line = c.Line() {
			word, id, _ := strings.Cut(line, " ")
			f.mu.Lock()
			f.tried[id] = true
			if word == "ack" {
				f.acked[id] = true
			}
			f.mu.Unlock()
		}
	})
	return c
}

func (f *fleet) acks() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.acked)
}

// more waits until n further records are acknowledged.
func (f *fleet) more(n int) {
	f.t.Helper()
	before := f.acks()
	require.Eventually(f.t, func() bool { return f.acks() >= before+n }, patience, time.Millisecond)
}

// TestKillingAnythingLosesNothing kills gateways and PostgreSQL, at the same time,
// too. What was acknowledged is in the ledger in the end, each record once.
func TestKillingAnythingLosesNothing(t *testing.T) {
	t.Parallel()
	b := setupJournal(t, 0)
	postgres, redis := b.onOwnPostgres(t), b.onOwnRedis(t)
	f := &fleet{b: b, t: t, tried: map[string]bool{}, acked: map[string]bool{}}
	gateways := []*testchild.Process{f.gateway(), f.gateway()}
	for round := range 6 {
		f.more(200)
		if round%3 == 1 {
			postgres.Kill(syscall.SIGKILL)
			f.more(200)
		}
		if round%3 == 2 {
			redis.Kill(syscall.SIGKILL) // it fsyncs always
			f.more(20)
		}
		victim := rand.IntN(len(gateways))
		require.NoError(t, gateways[victim].Process.Kill())
		require.NoError(t, postgres.Start(t.Context()))
		require.NoError(t, redis.Start(t.Context()))
		gateways[victim] = f.gateway()
	}
	f.more(200)
	for _, c := range gateways {
		require.NoError(t, c.Process.Signal(syscall.SIGTERM))
	}
	f.said.Wait()
	for _, c := range gateways {
		require.NoError(t, c.Wait(), c.Log.String())
	}
	b.process(t) // claims what the dead had read
	b.requireDrained(t)
	t.Logf("%d tried, %d acknowledged", len(f.tried), len(f.acked))
	hashes := make([]uuid.UUID, 0, len(f.acked))
	for id := range f.acked {
		hashes = append(hashes, requestHash(uuid.MustParse(b.keys[0]), id))
	}
	require.EqualValues(t, len(f.acked), b.count(t, "SELECT count(*) FROM usage_requests WHERE request_hash = ANY ($1)", hashes), "acknowledged and lost")
	records := b.count(t, "SELECT count(*) FROM usage_records")
	require.Equal(t, records, b.count(t, "SELECT count(*) FROM usage_requests"), "each once")
	require.LessOrEqual(t, records, int64(len(f.tried)))
	require.Equal(t, records, total(t, b.Repo, StatsQuery{}).TotalRequests)
	require.Zero(t, b.length(t, b.refused()))
}
