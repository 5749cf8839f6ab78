package repo_test

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/usage"
)

// requests is what the figures say.
func (b *bundle) requests(c *repo.Client) int64 {
	b.Helper()
	stats, err := c.Usage.GetUsageStats(b.Context(), allTime()).Get()
	require.NoError(b, err)
	return stats.Summary.TotalRequests
}

// A record counts with the transaction's commit or not at all; inside, figures
// include it at once.
func TestRecordUsageInATransaction(t *testing.T) {
	b := setup(t)
	tables := "SELECT (SELECT count(*) FROM usage_records) + (SELECT count(*) FROM usage_requests) + (SELECT count(*) FROM usage_pending)"
	for _, commit := range []bool{false, true} {
		tx := b.begin(repo.TxOptions{})
		k := b.key(tx.Client, apikeys.KeyData{}) // of the same transaction
		rec := record(k.ID)
		rec.RequestID = "r"
		status := tx.Client.Usage.RecordUsage(t.Context(), rec)
		require.NoError(t, status.Err())
		require.False(t, status.Duplicate)
		status = tx.Client.Usage.RecordUsage(t.Context(), rec)
		require.NoError(t, status.Err())
		require.True(t, status.Duplicate)
		require.NoError(t, tx.Client.APIKeys.RecordAPIKeyUsage(t.Context(), k.ID, apikeys.UsageData{Model: "m", RequestCount: 1}).Err())
		require.EqualValues(t, 2, b.requests(tx.Client))
		require.EqualValues(t, 0, b.requests(b.Client))
		require.ErrorIs(t, b.Usage.RecordUsage(t.Context(), record(k.ID)).Err(), result.RecordNotFound)
		require.Zero(t, b.count(tables))
		if !commit {
			require.NoError(t, b.Transactions.RollbackTransaction(t.Context(), tx.TransactionID).Err())
			require.EqualValues(t, 0, b.requests(b.Client))
			require.Zero(t, b.count(tables))
			continue
		}
		b.commit(tx)
		require.EqualValues(t, 2, b.requests(b.Client))
		require.Eventually(t, func() bool { return b.count("SELECT count(*) FROM usage_pending") == 0 }, time.Minute, time.Millisecond)
		require.EqualValues(t, 2, b.requests(b.Client))
	}
}

// A transaction that ran again counts its record once.
func TestRecordUsageInARepeatedTransaction(t *testing.T) {
	b := setup(t)
	k := b.key(b.Client, apikeys.KeyData{})
	tries := 0
	require.NoError(t, b.Transactions.InTransaction(t.Context(), repo.TxOptions{IsolationLevel: repo.Serializable}, func(c *repo.Client) error {
		tries++
		require.NoError(t, c.Usage.RecordUsage(t.Context(), record(k.ID)).Err())
		if tries == 1 {
			b.disable(b.Client, k.ID)
		}
		return c.APIKeys.UpdateAPIKey(t.Context(), k.ID, apikeys.Patch{Name: result.Set("x")}).Err()
	}))
	require.Equal(t, 2, tries)
	require.EqualValues(t, 1, b.requests(b.Client))
}

func TestRecordUsageInATransactionIsChecked(t *testing.T) {
	b := setup(t)
	require.NoError(t, b.Transactions.InTransaction(t.Context(), repo.TxOptions{}, func(c *repo.Client) error {
		requireRefused(t, c.Usage.RecordUsage(t.Context(), record("x")).Err(), "apiKeyId")
		err := c.Usage.RecordUsage(t.Context(), record("33333333-3333-4333-8333-333333333333")).Err()
		require.ErrorIs(t, err, result.RecordNotFound)
		require.Equal(t, "apiKeyId", result.From(err).Field())
		return nil
	}))
}

// A month without a partition: it is made beside the transaction, which holds up
// nobody, and it stays when the transaction is undone.
func TestRecordUsageInATransactionMakesMonths(t *testing.T) {
	b := setup(t)
	k := b.key(b.Client, apikeys.KeyData{})
	at := func(month time.Month) time.Time { return time.Date(2020, month, 3, 0, 0, 0, 0, time.UTC) }
	write := func(ctx context.Context, c *repo.Client, month time.Month) error {
		rec := record(k.ID)
		rec.Timestamp = at(month)
		return c.Usage.RecordUsage(ctx, rec).Err()
	}
	months := "SELECT count(*) FROM pg_inherits WHERE inhparent = 'usage_records'::regclass AND inhrelid::regclass::text LIKE 'usage_records_2020%'"
	own := errors.New("own")
	require.ErrorIs(t, b.Transactions.InTransaction(t.Context(), repo.TxOptions{}, func(c *repo.Client) error {
		for range 10 { // so often that the server keeps a plan
			require.NoError(t, write(t.Context(), c, time.January))
		}
		require.NoError(t, write(t.Context(), c, time.February), "the session holds the table by now")
		require.NoError(t, write(t.Context(), c, time.January))
		require.NoError(t, write(t.Context(), b.Client, time.March), "the transaction holds up no other month")
		return own
	}), own)
	require.Equal(t, 3, b.count(months))
	require.Equal(t, 1, b.count("SELECT count(*) FROM usage_records"))
	require.NoError(t, b.Transactions.InTransaction(t.Context(), repo.TxOptions{}, func(c *repo.Client) error {
		return write(t.Context(), c, time.January)
	}))
	require.Equal(t, 2, b.count("SELECT count(*) FROM usage_records"))
}

// Under write_behind, too, records inside go with the transaction, past the journal:
// they count once or not at all, and those outside are not held up.
func TestRecordUsageInATransactionUnderWriteBehind(t *testing.T) {
	b := setup(t, func(c *repo.Config) { c.UsageWrites = repo.WriteBehind })
	k := b.key(b.Client, apikeys.KeyData{})
	batch := make([]usage.Record, 5000) // more than are written together
	for i := range batch {
		batch[i] = record(k.ID)
		batch[i].RequestID = strconv.Itoa(i % 4900)
	}
	rollups := "SELECT coalesce(sum(records), 0) FROM usage_rollups"
	for _, commit := range []bool{false, true} {
		tx := b.begin(repo.TxOptions{})
		require.NoError(t, tx.Client.Usage.RecordUsage(t.Context(), record(k.ID)).Err())
		duplicates := 0
		for _, status := range tx.Client.Usage.RecordUsageBatch(t.Context(), batch) {
			require.NoError(t, status.Err())
			if status.Duplicate {
				duplicates++
			}
		}
		require.Equal(t, 100, duplicates)
		require.EqualValues(t, 4901, b.requests(tx.Client))
		require.Zero(t, b.requests(b.Client))
		h, err := b.Usage.JournalHealth(t.Context())
		require.NoError(t, err)
		require.Zero(t, h.Unflushed)
		if !commit {
			require.NoError(t, tx.Client.Usage.Close(t.Context()), "which ends nothing")
			require.NoError(t, tx.Client.Close(t.Context()))
			require.Zero(t, b.requests(b.Client))
			require.Zero(t, b.count("SELECT count(*) FROM usage_records"))
			continue
		}
		b.commit(tx)
		require.EqualValues(t, 4901, b.requests(b.Client))
		require.Eventually(t, func() bool { return b.count(rollups) == 4901 }, time.Minute, time.Millisecond)
		require.EqualValues(t, 4901, b.requests(b.Client))
	}
	require.NoError(t, b.Usage.RecordUsage(t.Context(), batch[0]).Err())
	require.NoError(t, b.Usage.RecordUsage(t.Context(), record(k.ID)).Err())
	require.Eventually(t, func() bool { return b.requests(b.Client) == 4902 }, time.Minute, time.Millisecond, "the journal knows what the transaction recorded")
}

// One bad record of a batch inside costs nothing but itself.
func TestRecordUsageBatchInATransaction(t *testing.T) {
	b := setup(t)
	k := b.key(b.Client, apikeys.KeyData{})
	unknown := record("33333333-3333-4333-8333-333333333333")
	far := record(k.ID)
	far.Timestamp = time.Date(2021, 5, 3, 0, 0, 0, 0, time.UTC) // of a month without a partition
	require.NoError(t, b.Transactions.InTransaction(t.Context(), repo.TxOptions{}, func(c *repo.Client) error {
		answers := c.Usage.RecordUsageBatch(t.Context(), []usage.Record{record(k.ID), unknown, record("x"), far})
		require.NoError(t, answers[0].Err())
		require.ErrorIs(t, answers[1].Err(), result.RecordNotFound)
		requireRefused(t, answers[2].Err(), "apiKeyId")
		require.NoError(t, answers[3].Err())
		return nil
	}))
	require.Equal(t, 2, b.count("SELECT count(*) FROM usage_records"))
}
