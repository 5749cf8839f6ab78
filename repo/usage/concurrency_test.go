package usage

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/repo/result"
)

const (
	writers = 32
	perEach = 25
)

// TestFiguresWhileWriting lets writers of two processes meet in the same cells of
// the same keys while both compact. Each figure read meanwhile holds every record
// whose call had returned, none twice.
func TestFiguresWhileWriting(t *testing.T) {
	t.Parallel()
	b := setup(t, 5)
	repos := []*Repo{open(t, b.url), open(t, b.url)}
	var begun, done atomic.Int64
	writing, stop := context.WithCancel(t.Context())
	defer stop()
	errs := make(chan error, writers+2)
	var writersLeft, others sync.WaitGroup
	for w := range writers {
		writersLeft.Go(func() {
			for i := range perEach {
				r := sample(b.keys[(w+i)%len(b.keys)])
				r.Timestamp = time.Now().Add(time.Duration(i%3-1) * cell)
				begun.Add(1)
				if err := repos[w%2].RecordUsage(t.Context(), r).Err(); err != nil {
					errs <- err
					return
				}
				done.Add(1)
			}
		})
	}
	for _, r := range repos { // compactors beside the ones that run by themselves
		others.Go(func() {
			for writing.Err() == nil {
				if err := r.compact(t.Context()); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	go func() {
		writersLeft.Wait()
		stop()
	}()
	last := int64(0)
	for writing.Err() == nil {
		least := max(last, done.Load())
		s := total(t, b.Repo, StatsQuery{})
		most := begun.Load()
		require.GreaterOrEqual(t, s.TotalRequests, least, "a record that counted is gone")
		require.LessOrEqual(t, s.TotalRequests, most, "a record counts twice")
		require.Equal(t, 7*s.TotalRequests, s.TotalTokens)
		require.True(t, amount(s.TotalRequests).Equal(s.TotalCost))
		last = s.TotalRequests
	}
	others.Wait()
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
	require.EqualValues(t, writers*perEach, total(t, b.Repo, StatsQuery{}).TotalRequests)
	b.requireRollupsEqualRecords(t)
}

// amount is the cost of n samples.
func amount(n int64) (sum result.Money) {
	for range n {
		sum = sum.Add(result.MustMoney("0.001"))
	}
	return sum
}

// requireRollupsEqualRecords compares, in SQL, each cell of each tier, together with
// the pending batches, with the records of the cell.
func (b *bundle) requireRollupsEqualRecords(t *testing.T) {
	t.Helper()
	quarter := "date_bin('15 minutes', occurred_at, '2000-01-01T00:00:00Z')"
	for table, keys := range map[string]string{
		"usage_rollups":              "api_key_id, account_id, model, " + quarter,
		"usage_rollups_hourly":       "api_key_id, account_id, model, date_trunc('hour', occurred_at, 'UTC')",
		"usage_rollups_daily":        "api_key_id, account_id, model, date_trunc('day', occurred_at, 'UTC')",
		"usage_rollups_global":       "model, " + quarter,
		"usage_rollups_global_daily": "model, date_trunc('day', occurred_at, 'UTC')",
	} {
		b.requireEqualSums(t, table, strings.NewReplacer(quarter, "bucket",
			"date_trunc('hour', occurred_at, 'UTC')", "bucket", "date_trunc('day', occurred_at, 'UTC')", "bucket").Replace(keys), keys, "true")
	}
	b.requireEqualSums(t, "usage_totals", "id", "api_key_id", "kind = 'key'")
	b.requireEqualSums(t, "usage_totals", "id", "account_id", "kind = 'account'")
}

func (b *bundle) requireEqualSums(t *testing.T, table, columns, keys, where string) {
	t.Helper()
	const figures = `requests, input_tokens, output_tokens, cache_creation_tokens, cache_read_tokens, total_tokens, cost`
	const sums = `sum(requests), sum(input_tokens), sum(output_tokens), sum(cache_creation_tokens), sum(cache_read_tokens),
		sum(total_tokens), sum(cost)`
	var group []string
	for i := range strings.Count(columns, ",") + 1 {
		group = append(group, strconv.Itoa(i+1))
	}
	by := strings.Join(group, ", ")
	require.Zero(t, b.count(t, `
		WITH counted AS (
			SELECT `+columns+`, sum(records) AS records, `+sums+` FROM (
				SELECT `+columns+`, records, `+figures+` FROM `+table+` WHERE `+where+`
				UNION ALL
				SELECT `+keys+`, 1, `+figures+` FROM usage_pending_records
			) AS c GROUP BY `+by+`
		), listed AS (
			SELECT `+keys+`, count(*) AS records, `+sums+` FROM usage_records GROUP BY `+by+`
		)
		SELECT count(*) FROM (
			(TABLE counted EXCEPT TABLE listed) UNION ALL (TABLE listed EXCEPT TABLE counted)
		) AS difference`), table)
}
