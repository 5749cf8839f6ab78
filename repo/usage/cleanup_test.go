package usage

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

// daysAgo writes n records a day for so many days before today, one at each
// midnight and the last one a microsecond before the next.
func (b *bundle) daysAgo(t *testing.T, days, n int) {
	t.Helper()
	today := time.Now().UTC().Truncate(24 * time.Hour)
	var recs []Record
	for d := 1; d <= days; d++ {
		for i := range n {
			r := sample(b.keys[0])
			r.Timestamp = today.AddDate(0, 0, -d).Add(time.Duration(i) * (24*time.Hour - time.Microsecond) / time.Duration(n-1))
			recs = append(recs, r)
		}
	}
	for _, s := range b.RecordUsageBatch(t.Context(), recs) {
		require.NoError(t, s.Err())
	}
}

func TestCleanupOldStats(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	b.daysAgo(t, 100, 3)
	before := total(t, b.Repo, StatsQuery{})
	c, err := b.CleanupOldStats(t.Context(), 40).Get()
	require.NoError(t, err)
	require.Equal(t, Cleanup{DeletedRecords: 180, RemainingRecords: 120}, c)
	require.EqualValues(t, 120, b.count(t, "SELECT count(*) FROM usage_records"))
	require.Equal(t, before, total(t, b.Repo, StatsQuery{}), "the rollups stay")
	require.LessOrEqual(t, len(b.partitions(t)), 3)

	c, err = b.CleanupOldStats(t.Context(), 40).Get()
	require.NoError(t, err)
	require.Equal(t, Cleanup{RemainingRecords: 120}, c)
	c, err = b.CleanupOldStats(t.Context(), 80).Get()
	require.NoError(t, err)
	require.Equal(t, Cleanup{RemainingRecords: 120}, c, "the horizon does not go back")
	require.EqualValues(t, 1, b.count(t, "SELECT count(*) FROM usage_horizon WHERE records_from = $1",
		time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -40)))
}

func TestCleanupRefuses(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	b.daysAgo(t, 3, 2)
	for _, days := range []int{0, -1, maxRetentionDays + 1} {
		requireRefused(t, b.CleanupOldStats(t.Context(), days).Err(), result.InvalidQuery, "retentionDays")
	}
	b.requireRequests(t, 6)
	c, err := b.CleanupOldStats(t.Context(), maxRetentionDays).Get()
	require.NoError(t, err)
	require.Equal(t, Cleanup{RemainingRecords: 6}, c)
}

// TestCleanupOfLateRecords records for a time that has been cleaned up.
func TestCleanupOfLateRecords(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	b.daysAgo(t, 70, 2)
	_, err := b.CleanupOldStats(t.Context(), 10).Get()
	require.NoError(t, err)
	b.daysAgo(t, 70, 2) // once more, the months that are gone too
	b.requireRequests(t, 280)
	c, err := b.CleanupOldStats(t.Context(), 20).Get()
	require.NoError(t, err)
	require.Equal(t, Cleanup{DeletedRecords: 100, RemainingRecords: 60}, c)
	b.requireRequests(t, 280)
}

// TestCleanupInManyProcesses adds up what each one says it has deleted.
func TestCleanupInManyProcesses(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	b.daysAgo(t, 120, 300)
	var wg sync.WaitGroup
	found := make([]Cleanup, 4)
	errs := make([]error, len(found))
	for i := range found {
		r := open(t, b.url)
		wg.Go(func() { found[i], errs[i] = r.CleanupOldStats(t.Context(), 15).Get() })
	}
	wg.Wait()
	var deleted int64
	for i, c := range found {
		require.NoError(t, errs[i])
		deleted += c.DeletedRecords
	}
	require.EqualValues(t, 105*300, deleted)
	require.EqualValues(t, 15*300, b.count(t, "SELECT count(*) FROM usage_records"))
	b.requireRequests(t, 120*300)
}

// TestCleanupWhileRecording records old and new times meanwhile: nothing that is
// counted is lost, and what is deleted and what remains is what was recorded.
func TestCleanupWhileRecording(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	b.daysAgo(t, 90, 20)
	r := open(t, b.url)
	writing, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	recorded := make([]int64, 8)
	for i := range recorded {
		wg.Go(func() {
			for n := 0; writing.Err() == nil; n++ {
				rec := sample(b.keys[0])
				rec.Timestamp = time.Now().AddDate(0, 0, -(n+i)%90)
				if err := r.RecordUsage(t.Context(), rec).Err(); err != nil {
					t.Error(err)
					return
				}
				recorded[i]++
			}
		})
	}
	var deleted int64
	for days := 80; days > 0; days -= 20 {
		c, err := b.CleanupOldStats(t.Context(), days).Get()
		require.NoError(t, err)
		deleted += c.DeletedRecords
	}
	stop()
	wg.Wait()
	sum := int64(90 * 20)
	for _, n := range recorded {
		sum += n
	}
	require.Equal(t, sum, deleted+b.count(t, "SELECT count(*) FROM usage_records"))
	b.requireRequests(t, sum)
}

// TestCleanupWaitsForReaders has a query that reads a month which should go.
func TestCleanupWaitsForReaders(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	b.daysAgo(t, 70, 2)
	reader, err := b.pool.Begin(t.Context())
	require.NoError(t, err)
	defer reader.Rollback(context.Background()) //nolint:errcheck // it only read
	_, err = reader.Exec(t.Context(), "SELECT count(*) FROM usage_records")
	require.NoError(t, err)
	passed, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	failed := b.CleanupOldStats(passed, 5).Err()
	require.ErrorIs(t, failed, result.QueryTimeout)
	require.EqualValues(t, 0, result.From(failed).Details["deletedRecords"])
	require.NoError(t, b.RecordUsage(t.Context(), sample(b.keys[0])).Err(), "recording goes on")
	require.NoError(t, reader.Rollback(t.Context()))
	c, err := b.CleanupOldStats(t.Context(), 5).Get()
	require.NoError(t, err)
	require.Equal(t, Cleanup{DeletedRecords: 130, RemainingRecords: 11}, c)
}

// TestFiguresOfCleanedUpTime cuts quarters of an hour whose records are gone.
func TestFiguresOfCleanedUpTime(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	noon := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -20).Add(12 * time.Hour)
	for _, minute := range []int{1, 2, 14, 16} {
		r := sample(b.keys[0])
		r.Timestamp = noon.Add(time.Duration(minute) * time.Minute)
		require.NoError(t, b.RecordUsage(t.Context(), r).Err())
	}
	q := StatsQuery{
		APIKeyID: b.keys[0], StartDate: noon.Add(90 * time.Second), EndDate: noon.Add(time.Hour), Granularity: Hour,
	}
	ask := func() Stats {
		s, err := b.GetUsageStats(t.Context(), q).Get()
		require.NoError(t, err)
		return s
	}
	require.EqualValues(t, 3, ask().Summary.TotalRequests)
	require.False(t, ask().Stats[0].Approximate)
	_, err := b.CleanupOldStats(t.Context(), 10).Get()
	require.NoError(t, err)
	require.EqualValues(t, 4, ask().Summary.TotalRequests, "the whole first quarter")
	require.True(t, ask().Stats[0].Approximate)
	other := open(t, b.url) // has not heard of the clean-up
	s, err := other.GetUsageStats(t.Context(), q).Get()
	require.NoError(t, err)
	require.True(t, s.Stats[0].Approximate)
	q.StartDate = noon
	require.False(t, ask().Stats[0].Approximate)
	q.StartDate, q.EndDate = noon.Add(-time.Hour), noon.Add(5*time.Minute)
	require.EqualValues(t, 3, ask().Summary.TotalRequests)
	require.False(t, ask().Stats[0].Approximate)
	require.True(t, ask().Stats[1].Approximate)
}

func TestCleanupOfRollups(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	b.daysAgo(t, 60, 4)
	var heard int64
	_, err := b.Cleanup(t.Context(), CleanupOptions{RetentionDays: 10, Rollups: true, Progress: func(n int64) { heard = n }}).Get()
	require.NoError(t, err)
	require.EqualValues(t, 200, heard)
	require.EqualValues(t, 40, total(t, b.Repo, StatsQuery{}).TotalRequests)
	require.EqualValues(t, 40, total(t, b.Repo, StatsQuery{APIKeyID: b.keys[0]}).TotalRequests)
	require.EqualValues(t, 240, b.count(t, "SELECT records FROM usage_totals WHERE kind = 'key'"), "totals stay")
	b.exec(t, "DELETE FROM usage_totals") // they alone have more
	for _, table := range []string{"usage_rollups", "usage_rollups_hourly", "usage_rollups_daily", "usage_rollups_global", "usage_rollups_global_daily"} {
		require.EqualValues(t, 40, b.count(t, "SELECT sum(records)::bigint FROM "+table), table)
	}
}

// TestRoleWithoutDDL records and cleans up with no more than the rights on rows.
func TestRoleWithoutDDL(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	role := "relaystore_app_" + b.keys[0][:8]
	b.exec(t, "CREATE ROLE "+role)
	t.Cleanup(func() {
		_, err := b.pool.Exec(context.Background(), "DROP OWNED BY "+role+"; DROP ROLE "+role)
		require.NoError(t, err)
	})
	b.exec(t, "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO "+role)
	b.exec(t, "GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO "+role)
	pc, err := pgxpool.ParseConfig(b.url)
	require.NoError(t, err)
	pc.AfterConnect = func(ctx context.Context, c *pgx.Conn) error {
		_, err := c.Exec(ctx, "SET ROLE "+role)
		return err
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), pc)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	b.Primary = &strategy.Postgres{Pool: pool, OpTimeout: time.Minute}
	b.daysAgo(t, 70, 2)
	c, err := b.CleanupOldStats(t.Context(), 10).Get()
	require.NoError(t, err)
	require.Equal(t, Cleanup{DeletedRecords: 120, RemainingRecords: 20}, c)
	b.requireRequests(t, 140)
}
