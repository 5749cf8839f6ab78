package repotest

import (
	"encoding/json"
	"errors"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/accounts"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/batch"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/sessions"
	"github.com/seed14a526e0/relaystore/repo/usage"
	"github.com/seed14a526e0/relaystore/strategy"
)

var transactionTests = []test{{"each data type", typesInTransactions}, {"ends", transactionEnds}, {"batches", batches}}

// writes are one a data type, and tell whether it has lasted.
func (b *bundle) writes() map[strategy.DataType]func() (write func(*repo.Client) error, lasted func(*repo.Client) bool) {
	user := uuid.NewString()
	return map[strategy.DataType]func() (func(*repo.Client) error, func(*repo.Client) bool){
		strategy.APIKey: func() (func(*repo.Client) error, func(*repo.Client) bool) {
			id := uuid.NewString()
			return func(c *repo.Client) error {
					return c.APIKeys.CreateAPIKey(b.ctx(), apikeys.KeyData{ID: id, Name: "k"}).Err()
				},
				func(c *repo.Client) bool { return b.found(c.APIKeys.GetAPIKey(b.ctx(), id).Err()) }
		},
		strategy.Account: func() (func(*repo.Client) error, func(*repo.Client) bool) {
			id := uuid.NewString()
			return func(c *repo.Client) error {
					return c.Accounts.CreateAccount(b.ctx(), accounts.AccountData{ID: id, Platform: accounts.Claude, Name: "a"}).Err()
				},
				func(c *repo.Client) bool { return b.found(c.Accounts.GetAccount(b.ctx(), id).Err()) }
		},
		strategy.Session: func() (func(*repo.Client) error, func(*repo.Client) bool) {
			user := user + "s" + uuid.NewString()
			return func(c *repo.Client) error {
					return c.Sessions.CreateSession(b.ctx(), sessions.Data{UserID: user, UserType: sessions.User, SessionData: json.RawMessage("{}")}).Err()
				},
				func(c *repo.Client) bool {
					return len(get(b, c.Sessions.ListSessions(b.ctx(), sessions.Filters{UserID: user})).Sessions) == 1
				}
		},
		strategy.Usage: func() (func(*repo.Client) error, func(*repo.Client) bool) {
			k := b.key(apikeys.KeyData{}).ID
			return func(c *repo.Client) error {
					return c.Usage.RecordUsage(b.ctx(), usage.Record{APIKeyID: k, AccountType: "claude", Model: "m", RequestCount: 1}).Err()
				},
				func(c *repo.Client) bool {
					return b.stats(b, c, recent(usage.StatsQuery{APIKeyID: k})).Summary.TotalRequests == 1
				}
		},
	}
}

func (b *bundle) found(err error) bool {
	if errors.Is(err, result.RecordNotFound) {
		return false
	}
	require.NoError(b, err)
	return true
}

// unable checks how a client refuses what it cannot do in a transaction.
func (b *bundle) unable(err error) {
	b.Helper()
	if len(b.caps.Transactions) > 0 || !errors.Is(err, result.PoolExhausted) {
		require.ErrorIs(b, err, result.InvalidQuery)
	}
}

var errUndo = errors.New("undo")

// typesInTransactions: what is written inside is seen inside, by others after the
// commit, and by nobody after a rollback; or it is refused.
func typesInTransactions(b *bundle) {
	for data, make := range b.writes() {
		write, lasted := make()
		err := b.one.Transactions.InTransaction(b.ctx(), repo.TxOptions{}, func(c *repo.Client) error {
			err := write(c)
			if !b.caps.transacts(data) || err != nil {
				return err
			}
			require.True(b, lasted(c), data)
			require.False(b, lasted(b.two), data)
			return errUndo
		})
		require.False(b, lasted(b.two), data)
		if !b.caps.transacts(data) {
			b.unable(err)
			continue
		}
		require.ErrorIs(b, err, errUndo)
		require.NoError(b, b.one.Transactions.InTransaction(b.ctx(), repo.TxOptions{IsolationLevel: repo.Serializable}, write))
		require.True(b, lasted(b.two), data)
	}
}

func transactionEnds(b *bundle) {
	all := b.one.Transactions
	require.ErrorIs(b, all.CommitTransaction(b.ctx(), uuid.NewString()).Err(), result.TransactionClosed)
	if len(b.caps.Transactions) == 0 {
		return
	}
	tx, err := all.BeginTransaction(b.ctx(), repo.TxOptions{})
	require.NoError(b, err)
	require.NoError(b, all.CommitTransaction(b.ctx(), tx.TransactionID).Err())
	require.ErrorIs(b, all.RollbackTransaction(b.ctx(), tx.TransactionID).Err(), result.TransactionClosed)
	require.ErrorIs(b, tx.Client.APIKeys.GetAPIKey(b.ctx(), uuid.NewString()).Err(), result.TransactionClosed)
	if !b.caps.transacts(strategy.APIKey) {
		return
	}
	k := b.key(apikeys.KeyData{})
	get(b, b.one.APIKeys.ValidateAPIKey(b.ctx(), k.HashedKey))
	tx, err = all.BeginTransaction(b.ctx(), repo.TxOptions{})
	require.NoError(b, err)
	require.NoError(b, tx.Client.APIKeys.DeleteAPIKey(b.ctx(), k.ID).Err())
	require.ErrorIs(b, tx.Client.APIKeys.ValidateAPIKey(b.ctx(), k.HashedKey).Err(), result.RecordNotFound)
	require.NoError(b, b.one.APIKeys.ValidateAPIKey(b.ctx(), k.HashedKey).Err())
	require.NoError(b, all.CommitTransaction(b.ctx(), tx.TransactionID).Err())
	require.ErrorIs(b, b.one.APIKeys.ValidateAPIKey(b.ctx(), k.HashedKey).Err(), result.RecordNotFound, "read your writes")
	err = all.InTransaction(b.ctx(), repo.TxOptions{ReadOnly: true}, func(c *repo.Client) error {
		return c.APIKeys.CreateAPIKey(b.ctx(), apikeys.KeyData{Name: "k"}).Err()
	})
	require.ErrorIs(b, err, result.ReadOnly)
}

// batches: all or none of the operations, on the tables that are open to them.
func batches(b *bundle) {
	k, other := b.key(apikeys.KeyData{}), b.key(apikeys.KeyData{})
	user := uuid.NewString()
	token := b.session(sessions.Data{UserID: user}).SessionToken
	acc := b.account(accounts.AccountData{})
	get(b, b.one.APIKeys.ValidateAPIKey(b.ctx(), k.HashedKey))
	for _, c := range []struct {
		data strategy.DataType
		op   batch.Operation
	}{
		{strategy.APIKey, batch.Operation{Type: batch.Delete, Table: "api_keys", Where: map[string]any{"id": k.ID}}},
		{strategy.Session, batch.Operation{Type: batch.Delete, Table: "sessions", Where: map[string]any{"user_id": user}}},
		{strategy.Account, batch.Operation{Type: batch.Delete, Table: "accounts", Where: map[string]any{"id": acc}}},
		{strategy.Usage, batch.Operation{Type: batch.Delete, Table: "usage_records", Where: map[string]any{"api_key_id": k.ID}}},
	} {
		bad := []batch.Operation{c.op, {Type: batch.Delete, Table: c.op.Table}}
		require.ErrorIs(b, b.one.Transactions.BatchOperation(b.ctx(), bad, repo.TxOptions{}).Err(), result.InvalidQuery, "a delete without where")
		results, err := b.one.Transactions.BatchOperation(b.ctx(), []batch.Operation{c.op}, repo.TxOptions{}).Get()
		if !b.caps.batches(c.data) {
			b.unable(err)
			continue
		}
		require.NoError(b, err)
		require.Len(b, results, 1)
		require.Len(b, results[0].(batch.Affected).IDs, 1)
	}
	require.Equal(b, b.caps.batches(strategy.APIKey), !b.found(b.one.APIKeys.ValidateAPIKey(b.ctx(), k.HashedKey).Err()), "read your writes")
	require.Equal(b, b.caps.batches(strategy.Session), !b.found(b.one.Sessions.ValidateSession(b.ctx(), token).Err()))
	require.True(b, b.found(b.one.Accounts.GetAccount(b.ctx(), acc).Err()))
	require.True(b, b.found(b.one.APIKeys.GetAPIKey(b.ctx(), other.ID).Err()))
}
