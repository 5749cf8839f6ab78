package repo_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/testclient"
	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/batch"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/usage"
)

// bundle is a client and a look at its tables past it.
type bundle struct {
	*testing.T
	*repo.Client

	cfg  repo.Config
	pool *pgxpool.Pool
}

func setup(t *testing.T, change ...func(*repo.Config)) *bundle {
	t.Helper()
	t.Parallel()
	cfg := testclient.Config(t)
	for _, c := range change {
		c(&cfg)
	}
	return &bundle{T: t, Client: testclient.Open(t, cfg), cfg: cfg, pool: testdb.Pool(t, cfg.DatabaseURL)}
}

func (b *bundle) begin(opts repo.TxOptions) repo.Tx {
	b.Helper()
	tx, err := b.Transactions.BeginTransaction(b.Context(), opts)
	require.NoError(b, err)
	return tx
}

func (b *bundle) commit(tx repo.Tx) {
	b.Helper()
	require.NoError(b, b.Transactions.CommitTransaction(b.Context(), tx.TransactionID).Err())
}

func (b *bundle) key(c *repo.Client, data apikeys.KeyData) apikeys.Created {
	b.Helper()
	if data.Name == "" {
		data.Name = "test"
	}
	k, err := c.APIKeys.CreateAPIKey(b.Context(), data).Get()
	require.NoError(b, err)
	return k
}

// count gives the one number that a query asks for.
func (b *bundle) count(sql string, args ...any) (n int) {
	b.Helper()
	require.NoError(b, b.pool.QueryRow(b.Context(), sql, args...).Scan(&n))
	return n
}

func TestTransactionByItsID(t *testing.T) {
	b := setup(t)
	tx := b.begin(repo.TxOptions{})
	k := b.key(tx.Client, apikeys.KeyData{})
	require.ErrorIs(t, b.APIKeys.GetAPIKey(t.Context(), k.ID).Err(), result.RecordNotFound)
	require.NoError(t, tx.Client.APIKeys.GetAPIKey(t.Context(), k.ID).Err())
	page, err := tx.Client.APIKeys.GetAllAPIKeys(t.Context(), apikeys.Filters{}).Get()
	require.NoError(t, err)
	require.Equal(t, 1, page.Total)
	require.NoError(t, tx.Client.Transactions.CommitTransaction(t.Context(), tx.TransactionID).Err(), "the own client knows it, too")
	require.NoError(t, b.APIKeys.GetAPIKey(t.Context(), k.ID).Err())

	doc, err := json.Marshal(tx)
	require.NoError(t, err)
	require.JSONEq(t, `{"transactionId":"`+tx.TransactionID+`"}`, string(doc))
}

// An open transaction's id means nothing to another client, whatever that does with it.
func TestTransactionOfAnotherClient(t *testing.T) {
	b := setup(t)
	other := testclient.Open(t, b.cfg)
	tx := b.begin(repo.TxOptions{})
	b.key(tx.Client, apikeys.KeyData{})
	require.ErrorIs(t, other.Transactions.CommitTransaction(t.Context(), tx.TransactionID).Err(), result.TransactionClosed)
	require.ErrorIs(t, other.Transactions.RollbackTransaction(t.Context(), tx.TransactionID).Err(), result.TransactionClosed)
	require.Zero(t, b.count("SELECT count(*) FROM api_keys"))
	b.commit(tx)
	require.Equal(t, 1, b.count("SELECT count(*) FROM api_keys"))
}

// Every method of a finished transaction's client, and the transaction's own.
func TestTransactionUsedTooLate(t *testing.T) {
	b := setup(t)
	k := b.key(b.Client, apikeys.KeyData{})
	ended := map[string]func(repo.Tx){
		"committed": b.commit,
		"rolled back": func(tx repo.Tx) {
			require.NoError(t, b.Transactions.RollbackTransaction(t.Context(), tx.TransactionID).Err())
		},
		"closed":    func(tx repo.Tx) { require.NoError(t, tx.Client.Close(t.Context())) },
		"timed out": func(repo.Tx) { b.allEnd() },
	}
	for name, end := range ended {
		opts := repo.TxOptions{}
		if name == "timed out" {
			opts.Timeout = 20 * time.Millisecond
		}
		tx := b.begin(opts)
		end(tx)
		ctx, c := t.Context(), tx.Client
		for method, err := range map[string]error{
			"create":   c.APIKeys.CreateAPIKey(ctx, apikeys.KeyData{Name: "n"}).Err(),
			"validate": c.APIKeys.ValidateAPIKey(ctx, k.HashedKey).Err(),
			"get":      c.APIKeys.GetAPIKey(ctx, k.ID).Err(),
			"update":   c.APIKeys.UpdateAPIKey(ctx, k.ID, apikeys.Patch{Name: result.Set("x")}).Err(),
			"delete":   c.APIKeys.DeleteAPIKey(ctx, k.ID).Err(),
			"list":     c.APIKeys.GetAllAPIKeys(ctx, apikeys.Filters{}).Err(),
			"use":      c.APIKeys.RecordAPIKeyUsage(ctx, k.ID, apikeys.UsageData{Model: "m", RequestCount: 1}).Err(),
			"record":   c.Usage.RecordUsage(ctx, record(k.ID)).Err(),
			"stats":    c.Usage.GetUsageStats(ctx, allTime()).Err(),
			"batch":    c.Transactions.BatchOperation(ctx, []batch.Operation{{Type: "create", Table: "api_keys", Data: map[string]any{"name": "n"}}}, repo.TxOptions{}).Err(),
			"nested":   c.Transactions.InTransaction(ctx, repo.TxOptions{}, func(*repo.Client) error { return nil }),
			"commit":   b.Transactions.CommitTransaction(ctx, tx.TransactionID).Err(),
			"rollback": b.Transactions.RollbackTransaction(ctx, tx.TransactionID).Err(),
		} {
			require.ErrorIs(t, err, result.TransactionClosed, "%s: %s", name, method)
		}
	}
	require.Equal(t, 1, b.count("SELECT count(*) FROM api_keys"))
}

// allEnd waits until no session of the server is inside a transaction; those of
// the background work come and go.
func (b *bundle) allEnd() {
	b.Helper()
	require.Eventually(b, func() bool {
		return b.count(`SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid() AND state LIKE 'idle in transaction%'`) == 0
	}, time.Minute, time.Millisecond)
}

func allTime() usage.StatsQuery {
	return usage.StatsQuery{StartDate: time.Now().Add(-24 * time.Hour), EndDate: time.Now().Add(24 * time.Hour), Granularity: usage.Month}
}

func record(key string) usage.Record {
	return usage.Record{
		APIKeyID: key, AccountType: "claude", Model: "m", InputTokens: 3, OutputTokens: 4, TotalTokens: 7,
		Cost: result.MustMoney("0.001"), RequestCount: 1,
	}
}

func TestTransactionOptionsAreChecked(t *testing.T) {
	b := setup(t)
	for field, opts := range map[string]repo.TxOptions{
		"isolationLevel": {IsolationLevel: "serializable"},
		"timeout":        {Timeout: -time.Second},
	} {
		_, err := b.Transactions.BeginTransaction(t.Context(), opts)
		requireRefused(t, err, field)
		requireRefused(t, b.Transactions.InTransaction(t.Context(), opts, nil), field)
		requireRefused(t, b.Transactions.BatchOperation(t.Context(), nil, opts).Err(), field)
	}
	_, err := b.Transactions.BeginTransaction(t.Context(), repo.TxOptions{Timeout: 11 * time.Minute})
	requireRefused(t, err, "timeout")
	for doc, field := range map[string]string{
		`{"timeout":1.5}`: "timeout", `{"timeout":"1"}`: "timeout", `{"readonly":true}`: "readonly", `{"x":1}`: "x", `{"isolationLevel":7}`: "isolationLevel",
	} {
		var opts repo.TxOptions
		requireRefused(t, json.Unmarshal([]byte(doc), &opts), field)
	}
	var opts repo.TxOptions
	require.NoError(t, json.Unmarshal([]byte(`{"isolationLevel":"SERIALIZABLE","readOnly":true,"timeout":1500}`), &opts))
	require.Equal(t, repo.TxOptions{IsolationLevel: repo.Serializable, ReadOnly: true, Timeout: 1500 * time.Millisecond}, opts)
	doc, err := json.Marshal(opts)
	require.NoError(t, err)
	require.JSONEq(t, `{"isolationLevel":"SERIALIZABLE","readOnly":true,"timeout":1500}`, string(doc))
	b.allEnd()
}

func requireRefused(t *testing.T, err error, field string) {
	t.Helper()
	require.ErrorIs(t, err, result.InvalidQuery)
	require.Equal(t, field, result.From(err).Field(), err.Error())
}
