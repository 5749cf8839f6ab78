package usage

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

// between does something before each statement that has a word.
type between struct {
	word string
	do   func()
}

func (b between) TraceQueryStart(ctx context.Context, _ *pgx.Conn, q pgx.TraceQueryStartData) context.Context {
	if strings.Contains(q.SQL, b.word) {
		b.do()
	}
	return ctx
}

func (between) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// Somebody records before each statement of an analysis: its parts are of one moment,
// in a transaction as well.
func TestCostsAreOfOneMoment(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	cfg, err := pgxpool.ParseConfig(b.url)
	require.NoError(t, err)
	recorded := 0
	cfg.ConnConfig.Tracer = between{"name: UsageStats", func() {
		recorded++
		require.NoError(t, b.RecordUsage(context.Background(), sample(b.keys[0])).Err())
	}}
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	primary := &strategy.Postgres{Pool: pool, OpTimeout: time.Minute}
	for _, serializable := range []bool{false, true} {
		for _, key := range []string{"", b.keys[0]} {
			tx, err := primary.Begin(t.Context(), strategy.TxOptions{Serializable: serializable, Timeout: time.Minute})
			require.NoError(t, err)
			q := CostQuery{EndDate: time.Now().Add(48 * time.Hour), GroupBy: ByAccount, APIKeyID: key}
			q.StartDate = q.EndDate.Add(-96 * time.Hour)
			a, err := b.InTx(tx.Primary()).GetCostAnalysis(t.Context(), q).Get()
			require.NoError(t, err)
			require.NoError(t, tx.Rollback(t.Context()))
			var trends, shares, models result.Money
			for _, d := range a.Trends {
				trends = trends.Add(d.Cost)
			}
			for _, s := range a.CostBreakdown {
				shares = shares.Add(s.Cost)
			}
			for _, m := range a.TopModels {
				models = models.Add(m.Cost)
			}
			require.Positive(t, recorded)
			require.Equal(t, []string{trends.String(), trends.String()}, []string{shares.String(), models.String()})
			require.False(t, trends.IsZero())
		}
	}
}
