package usage

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

// begin starts a transaction with a Repo inside it.
func (b *bundle) begin(t *testing.T) (*strategy.Tx, *Repo) {
	t.Helper()
	tx, err := b.Primary.Begin(t.Context(), strategy.TxOptions{Timeout: 10 * time.Minute})
	require.NoError(t, err)
	t.Cleanup(func() { tx.End("the test is over") })
	return tx, b.InTx(tx.Primary())
}

// withID is a sample with a requestId.
func (b *bundle) withID(id string) Record {
	r := sample(b.keys[0])
	r.RequestID = id
	return r
}

// A transaction that stays open holds up the records that it has as well, and none of
// those that share their batch.
func TestOpenTransactionHoldsUpNobodyElse(t *testing.T) {
	t.Parallel()
	for _, commit := range []bool{false, true} {
		b := setup(t, 1)
		tx, inside := b.begin(t)
		require.NoError(t, inside.RecordUsage(t.Context(), b.withID("held")).Err())
		entries := make([]entry, 300)
		for i := range entries {
			id := strconv.Itoa(i)
			if i == 100 || i == 200 {
				id = "held"
			}
			var err error
			entries[i], err = b.withID(id).check("apiKeyId", time.Now())
			require.NoError(t, err)
		}
		entries[99].key = uuid.New() // so that its batch goes the long way
		all, left := await(entries)
		blocked := b.sift(t.Context(), b.commit(t.Context(), all, blockedAfter))
		require.ElementsMatch(t, []*waiting{all[100], all[200]}, b.sift(t.Context(), blocked))
		require.EqualValues(t, 297, total(t, b.Repo, StatsQuery{}).TotalRequests)
		for i, w := range all {
			require.Equal(t, outcome{unknown: i == 99}, w.outcome, i)
		}

		for _, w := range blocked {
			b.writer.aside(func() { b.outwait(t.Context(), w) })
		}
		if commit {
			require.NoError(t, tx.Commit(t.Context()))
		} else {
			require.NoError(t, tx.Rollback(t.Context()))
		}
		<-left.none
		first, second := all[100].outcome, all[200].outcome
		require.NoError(t, errors.Join(first.err, second.err))
		require.Equal(t, commit, first.duplicate && second.duplicate)
		require.True(t, first.duplicate || second.duplicate)
		require.EqualValues(t, 298, total(t, b.Repo, StatsQuery{}).TotalRequests)
	}
}

// A transaction has hundreds of requestIds, and both lanes get batches of the same ones:
// the lanes wait once a batch, not once a record.
func TestOpenTransactionWithManyIDs(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	tx, inside := b.begin(t)
	const held = 400
	recs := make([]Record, held)
	for i := range recs {
		recs[i] = b.withID("held " + strconv.Itoa(i))
	}
	for _, s := range inside.RecordUsageBatch(t.Context(), recs) {
		require.NoError(t, s.Err())
	}
	var blocked sync.WaitGroup
	outcomes := make([][]result.Status, lanes)
	for i := range lanes {
		blocked.Go(func() { outcomes[i] = b.RecordUsageBatch(t.Context(), recs[i*held/lanes:][:held/lanes]) })
		require.Eventually(t, func() bool {
			b.writer.mu.Lock()
			defer b.writer.mu.Unlock()
			return b.writer.running+b.writer.beside > i
		}, patience, time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second) // a wait a record would be 20 s
	defer cancel()
	for range 10 {
		require.NoError(t, b.RecordUsage(ctx, sample(b.keys[0])).Err())
	}
	require.NoError(t, tx.Commit(t.Context()))
	blocked.Wait()
	for _, s := range outcomes[0] {
		require.NoError(t, s.Err())
		require.True(t, s.Duplicate)
	}
	b.requireRequests(t, held+10)
}

// Who waits for a transaction longer than a call may take is told so, and Close waits
// for who waits.
func TestBlockedUntilTheDeadline(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	b.Primary.OpTimeout = 200 * time.Millisecond
	_, inside := b.begin(t)
	require.NoError(t, inside.RecordUsage(t.Context(), b.withID("held")).Err())
	var err error
	var waiting sync.WaitGroup
	waiting.Go(func() { err = b.RecordUsage(t.Context(), b.withID("held")).Err() })
	require.Eventually(t, func() bool {
		b.writer.mu.Lock()
		defer b.writer.mu.Unlock()
		return b.writer.beside == 1 && b.writer.running == 0
	}, patience, time.Millisecond)
	require.NoError(t, b.writer.close(context.Background()))
	waiting.Wait()
	require.ErrorIs(t, err, result.QueryTimeout)
	require.ErrorContains(t, err, "requestId")
	require.EqualValues(t, 1, total(t, inside, StatsQuery{}).TotalRequests)
}

// The journal keeps what a transaction blocks, and flushes the rest.
func TestBlockedFlush(t *testing.T) {
	t.Parallel()
	b := setupJournal(t, 1)
	tx, inside := b.begin(t)
	require.NoError(t, inside.RecordUsage(t.Context(), b.withID("held")).Err())
	p := b.process(t)
	require.NoError(t, p.RecordUsage(t.Context(), b.withID("held")).Err())
	require.NoError(t, p.RecordUsage(t.Context(), b.withID("free")).Err())
	require.Eventually(t, func() bool { return total(t, b.Repo, StatsQuery{}).TotalRequests == 1 }, patience, 5*time.Millisecond)
	require.Eventually(t, func() bool { return b.length(t, b.stream()) == 1 }, patience, 5*time.Millisecond)
	require.NoError(t, tx.Commit(t.Context()))
	b.requireDrained(t)
	require.EqualValues(t, 2, total(t, b.Repo, StatsQuery{}).TotalRequests)
	require.Zero(t, b.length(t, b.refused()))
}

// The compactor is woken by the commit, and not before there is anything to see.
func TestCommitWakesTheCompactor(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	tx, inside := b.begin(t)
	require.NoError(t, inside.RecordUsage(t.Context(), sample(b.keys[0])).Err())
	require.Empty(t, b.compactor.woken)
	require.NoError(t, tx.Commit(t.Context()))
	require.Len(t, b.compactor.woken, 1)
}

// What figures and records set for their own statements is not the transaction's.
func TestSettingsInATransaction(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	tx, inside := b.begin(t)
	setting := func(name string) (value string) {
		require.NoError(t, tx.Primary().Read(t.Context(), func(ctx context.Context, c db.DBTX) error {
			rows, err := c.Query(ctx, "SELECT current_setting($1)", name)
			if err != nil {
				return err
			}
			value, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[string])
			return err
		}))
		return value
	}
	settings := func() []string {
		return []string{setting("idle_in_transaction_session_timeout"), setting("lock_timeout")}
	}
	before := settings()
	require.Equal(t, "off", setting("jit"))
	require.NoError(t, inside.RecordUsage(t.Context(), b.withID("r")).Err())
	require.EqualValues(t, 1, total(t, inside, StatsQuery{}).TotalRequests)
	require.Equal(t, before, settings())
}
