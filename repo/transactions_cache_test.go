package repo_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/faultproxy"
	"github.com/seed14a526e0/relaystore/internal/testclient"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/batch"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// active is what a client says of a key now.
func (b *bundle) active(c *repo.Client, hash string) bool {
	b.Helper()
	v, err := c.APIKeys.ValidateAPIKey(b.Context(), hash).Get()
	require.NoError(b, err)
	return v.IsActive
}

func (b *bundle) disable(c *repo.Client, id string) {
	b.Helper()
	require.NoError(b, c.APIKeys.UpdateAPIKey(b.Context(), id, apikeys.Patch{IsActive: result.Set(false)}).Err())
}

// becomes waits until another process has heard of a change.
func (b *bundle) becomes(c *repo.Client, hash string, active bool) {
	b.Helper()
	require.Eventually(b, func() bool { return b.active(c, hash) == active }, time.Minute, time.Millisecond)
}

// change alters the row behind every trigger's back.
func (b *bundle) change(k apikeys.Created) {
	b.Helper()
	require.NoError(b, pgx.BeginFunc(b.Context(), b.pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(b.Context(), "SET LOCAL session_replication_role = replica")
		if err == nil {
			_, err = tx.Exec(b.Context(), "UPDATE api_keys SET rate_limit_requests = rate_limit_requests + 1 WHERE id = $1", k.ID)
		}
		return err
	}))
}

// isCached tells whether a client answers without a look at PostgreSQL, which has
// something else since change.
func (b *bundle) isCached(c *repo.Client, k apikeys.Created) bool {
	b.Helper()
	v, err := c.APIKeys.ValidateAPIKey(b.Context(), k.HashedKey).Get()
	require.NoError(b, err)
	return v.RateLimits.Requests != int64(b.count("SELECT rate_limit_requests FROM api_keys WHERE id = $1", k.ID))
}

// cached makes a key that the clients answer for without a look at PostgreSQL.
func (b *bundle) cached(clients ...*repo.Client) apikeys.Created {
	b.Helper()
	k := b.key(b.Client, apikeys.KeyData{})
	for _, c := range clients { // one that is keeps its answer when the row changes again
		require.Eventually(b, func() bool { b.change(k); return b.isCached(c, k) }, time.Minute, time.Millisecond)
	}
	return k
}

// Validation inside sees the transaction's state, and that stays inside until the
// commit: nothing of it is told or filled.
func TestTransactionsAndTheCache(t *testing.T) {
	b := setup(t)
	other := testclient.Open(t, b.cfg)
	k := b.cached(b.Client, other)
	for _, commit := range []bool{false, true} {
		tx := b.begin(repo.TxOptions{})
		b.disable(tx.Client, k.ID)
		for range 3 {
			require.False(t, b.active(tx.Client, k.HashedKey))
			require.True(t, b.active(b.Client, k.HashedKey))
			require.True(t, b.active(other, k.HashedKey))
		}
		require.True(t, b.isCached(b.Client, k), "nothing is told before the commit")
		if !commit {
			require.NoError(t, b.Transactions.RollbackTransaction(t.Context(), tx.TransactionID).Err())
			require.True(t, b.isCached(b.Client, k))
			continue
		}
		b.commit(tx)
		require.False(t, b.active(b.Client, k.HashedKey), "at once in this process")
		b.becomes(other, k.HashedKey, false)
	}
}

// A key that was never committed is not known to any cache, one that was is known
// although it was looked for in vain before.
func TestTransactionsAndUnknownKeys(t *testing.T) {
	b := setup(t)
	for _, commit := range []bool{false, true} {
		plaintext := "cr_test_" + time.Now().String()
		hash := apikeys.HashPlaintext(plaintext)
		require.ErrorIs(t, b.APIKeys.ValidateAPIKey(t.Context(), hash).Err(), result.RecordNotFound)
		err := b.Transactions.InTransaction(t.Context(), repo.TxOptions{}, func(c *repo.Client) error {
			k := b.key(c, apikeys.KeyData{HashedKey: hash})
			require.True(t, b.active(c, hash))
			v, err := c.APIKeys.ValidatePlaintext(t.Context(), plaintext).Get()
			require.NoError(t, err)
			require.Equal(t, k.ID, v.ID)
			require.ErrorIs(t, b.APIKeys.ValidateAPIKey(t.Context(), hash).Err(), result.RecordNotFound)
			if !commit {
				return errors.New("undo")
			}
			return nil
		})
		if require.Equal(t, commit, err == nil); !commit {
			require.ErrorIs(t, b.APIKeys.ValidateAPIKey(t.Context(), hash).Err(), result.RecordNotFound)
			continue
		}
		require.True(t, b.active(b.Client, hash))
	}
}

// The caller leaves, and the answer to the commit is lost: the process forgets all
// the same.
func TestTransactionCommitUnknownEvicts(t *testing.T) {
	var proxy *faultproxy.Proxy
	b := setup(t, func(c *repo.Config) {
		proxy, c.DatabaseURL = faultproxy.Postgres(t, c.DatabaseURL)
		c.OpTimeout = 500 * time.Millisecond
	})
	k := b.cached(b.Client)
	tx := b.begin(repo.TxOptions{})
	b.disable(tx.Client, k.ID)
	ctx, cancel := context.WithCancel(t.Context())
	stalled := proxy.On(faultproxy.ToClient, faultproxy.CommitDone, faultproxy.StallBefore)
	done := make(chan error, 1)
	go func() { done <- b.Transactions.CommitTransaction(ctx, tx.TransactionID).Err() }()
	<-stalled
	cancel()
	err := <-done
	require.ErrorIs(t, err, result.QueryTimeout)
	require.Equal(t, true, result.From(err).Details["outcomeUnknown"])
	proxy.Pass()
	require.False(t, b.active(b.Client, k.HashedKey))
}

// A use inside counts as one when it is committed.
func TestTransactionLastUse(t *testing.T) {
	b := setup(t)
	k, undone := b.key(b.Client, apikeys.KeyData{}), b.key(b.Client, apikeys.KeyData{})
	tx := b.begin(repo.TxOptions{})
	require.True(t, b.active(tx.Client, undone.HashedKey))
	require.NoError(t, tx.Client.Close(t.Context()))
	require.NoError(t, b.Transactions.InTransaction(t.Context(), repo.TxOptions{}, func(c *repo.Client) error {
		return c.Transactions.InTransaction(t.Context(), repo.TxOptions{}, func(c *repo.Client) error {
			require.True(t, b.active(c, k.HashedKey))
			return nil
		})
	}))
	require.NoError(t, b.Close(context.Background()), "it stores what is due")
	require.Equal(t, 1, b.count("SELECT count(*) FROM api_key_last_used WHERE api_key_id = $1", k.ID))
	require.Equal(t, 1, b.count("SELECT count(*) FROM api_key_last_used"))
}

// A key's life may start inside a transaction: it has started when that commits.
func TestTransactionActivates(t *testing.T) {
	b := setup(t)
	k := b.key(b.Client, apikeys.KeyData{ExpirationMode: "activation", ActivationDays: 1})
	require.ErrorIs(t, b.Transactions.InTransaction(t.Context(), repo.TxOptions{ReadOnly: true}, func(c *repo.Client) error {
		return c.APIKeys.ValidateAPIKey(t.Context(), k.HashedKey).Err()
	}), result.ReadOnly)
	tx := b.begin(repo.TxOptions{})
	require.True(t, b.active(tx.Client, k.HashedKey))
	require.Zero(t, b.count("SELECT count(*) FROM api_keys WHERE activated_at IS NOT NULL"))
	b.commit(tx)
	require.Equal(t, 1, b.count("SELECT count(*) FROM api_keys WHERE activated_at IS NOT NULL"))
	require.True(t, b.active(b.Client, k.HashedKey))
}

// What a batch disables or deletes is refused at once here, and soon elsewhere.
func TestBatchRevokesEverywhere(t *testing.T) {
	b := setup(t)
	other := testclient.Open(t, b.cfg)
	keys := make([]apikeys.Created, 4)
	for i := range keys {
		keys[i] = b.cached(b.Client, other)
	}
	off := map[string]any{"is_active": false}
	require.NoError(t, b.Transactions.BatchOperation(t.Context(), []batch.Operation{
		{Type: batch.Update, Table: "api_keys", Data: off, Where: map[string]any{"id": keys[0].ID}},
		{Type: batch.Update, Table: "api_keys", Data: off, Where: map[string]any{"hashed_key": keys[1].HashedKey}},
		{Type: batch.Delete, Table: "api_keys", Where: map[string]any{"id": map[string]any{"in": []string{keys[2].ID}}}},
	}, repo.TxOptions{}).Err())
	refused := func(c *repo.Client) []bool {
		var said []bool
		for _, k := range keys {
			v, err := c.APIKeys.ValidateAPIKey(t.Context(), k.HashedKey).Get()
			said = append(said, errors.Is(err, result.RecordNotFound) || !v.IsActive)
		}
		return said
	}
	require.Equal(t, []bool{true, true, true, false}, refused(b.Client))
	require.Eventually(t, func() bool { r := refused(other); return r[0] && r[1] && r[2] && !r[3] }, time.Minute, time.Millisecond)
}
