package torture

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/bench"
	"github.com/seed14a526e0/relaystore/internal/testclient"
	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
)

// bundle is a run without gateways: the test records and keeps the books.
type bundle struct {
	*run

	cfg    repo.Config
	client *repo.Client
	pool   *pgxpool.Pool
}

func setUp(t *testing.T) *bundle {
	t.Helper()
	cfg := testclient.Config(t)
	b := &bundle{cfg: cfg, client: testclient.Open(t, cfg), pool: testdb.Pool(t, cfg.DatabaseURL)}
	b.run = &run{
		place: bench.Place{DatabaseURL: cfg.DatabaseURL}, book: newBook(false),
		rep: Report{Mismatches: make(map[string]int64)}, traffic: traffic{Begun: time.Now().UTC().Truncate(time.Microsecond)},
	}
	for range 3 {
		k, err := b.client.APIKeys.CreateAPIKey(t.Context(), apikeys.KeyData{Name: "n"}).Get()
		require.NoError(t, err)
		b.traffic.Keys = append(b.traffic.Keys, apiKey{k.ID, k.HashedKey})
	}
	return b
}

// record records a mark through a client and notes the answer.
func (b *bundle) record(t *testing.T, client *repo.Client, m mark) {
	t.Helper()
	b.book.begin(m)
	status := client.Usage.RecordUsage(t.Context(), b.traffic.record(m))
	require.NoError(t, status.Err())
	r := report{mark: m, Event: counted}
	if status.Duplicate {
		r.Event = duplicate
	}
	b.book.answer(r)
}

func (b *bundle) exec(t *testing.T, sql string) {
	t.Helper()
	_, err := b.pool.Exec(t.Context(), sql)
	require.NoError(t, err)
}

func (b *bundle) count(t *testing.T, sql string) (n int64) {
	t.Helper()
	require.NoError(t, b.pool.QueryRow(t.Context(), sql).Scan(&n))
	return n
}
