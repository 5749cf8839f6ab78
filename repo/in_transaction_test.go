package repo_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/batch"
	"github.com/seed14a526e0/relaystore/repo/result"
)

func TestInTransaction(t *testing.T) {
	b := setup(t)
	in := func(f func(*repo.Client) error) error {
		return b.Transactions.InTransaction(t.Context(), repo.TxOptions{}, f)
	}
	require.NoError(t, in(func(c *repo.Client) error {
		return c.APIKeys.CreateAPIKey(t.Context(), apikeys.KeyData{Name: "kept"}).Err()
	}))
	own := errors.New("own")
	err := in(func(c *repo.Client) error {
		b.key(c, apikeys.KeyData{Name: "undone"})
		return own
	})
	require.Equal(t, own, err, "f's error comes back as it is")
	require.PanicsWithValue(t, "f", func() {
		_ = in(func(c *repo.Client) error {
			b.key(c, apikeys.KeyData{Name: "undone"})
			panic("f")
		})
	})
	ctx, cancel := context.WithCancel(t.Context())
	require.ErrorIs(t, b.Transactions.InTransaction(ctx, repo.TxOptions{}, func(c *repo.Client) error {
		b.key(c, apikeys.KeyData{Name: "undone"})
		cancel()
		return nil
	}), result.Cancelled)
	b.allEnd()
	require.Equal(t, 1, b.count("SELECT count(*) FROM api_keys"))
}

func TestInTransactionNested(t *testing.T) {
	b := setup(t)
	own := errors.New("own")
	ctx := t.Context()
	require.NoError(t, b.Transactions.InTransaction(ctx, repo.TxOptions{Timeout: time.Minute}, func(c *repo.Client) error {
		b.key(c, apikeys.KeyData{Name: "kept"})
		require.Equal(t, own, c.Transactions.InTransaction(ctx, repo.TxOptions{}, func(c *repo.Client) error {
			k := b.key(c, apikeys.KeyData{Name: "undone"})
			require.NoError(t, c.Usage.RecordUsage(ctx, record(k.ID)).Err())
			return own
		}))
		require.NoError(t, c.Transactions.InTransaction(ctx, repo.TxOptions{IsolationLevel: repo.ReadCommitted, Timeout: time.Second}, func(c *repo.Client) error {
			b.key(c, apikeys.KeyData{Name: "kept"})
			return c.Transactions.BatchOperation(ctx, []batch.Operation{{Type: "create", Table: "api_keys", Data: map[string]any{"name": "kept"}}}, repo.TxOptions{}).Err()
		}))
		for field, opts := range map[string]repo.TxOptions{
			"isolationLevel": {IsolationLevel: repo.Serializable}, "readOnly": {ReadOnly: true}, "timeout": {Timeout: 2 * time.Minute},
		} {
			requireRefused(t, c.Transactions.InTransaction(ctx, opts, nil), field)
		}
		_, err := c.Transactions.BeginTransaction(ctx, repo.TxOptions{})
		require.ErrorIs(t, err, result.InvalidQuery)
		return nil
	}))
	require.Equal(t, 3, b.count("SELECT count(*) FROM api_keys WHERE name = 'kept'"))
	require.Equal(t, 3, b.count("SELECT count(*) FROM api_keys"))
	require.Zero(t, b.count("SELECT count(*) FROM usage_records"))
}
