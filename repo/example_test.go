package repo_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/batch"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/schema"
)

func ExampleOpen() {
	ctx := context.Background()
	url, drop := testdb.ForExample() // elsewhere: repo.ConfigFromEnv
	defer drop()
	client, err := repo.Open(ctx, repo.Config{DatabaseURL: url})
	var state *schema.StateError
	switch {
	case errors.As(err, &state):
		fmt.Println(err) // names the command that mends it
		return
	case errors.Is(err, result.ConnectionFailed):
		fmt.Println("try again later")
		return
	}
	page, err := client.APIKeys.GetAllAPIKeys(ctx, apikeys.Filters{Limit: 10}).Get()
	fmt.Println(page.Total, err, client.Close(ctx))
	// Output: 0 <nil> <nil>
}

func ExampleConfig_Validate() {
	fmt.Println(repo.Config{RequireRedis: true}.Validate())
	// Output:
	// DB_INVALID_QUERY: DATABASE_URL: required
	// DB_INVALID_QUERY: RELAYSTORE_REQUIRE_REDIS: contradicts an empty REDIS_URL
}

// Two keys trade their limits: both changes last, or none does.
func ExampleTransactions_InTransaction() {
	ctx := context.Background()
	client, done := openExample()
	defer done()
	a := client.APIKeys.CreateAPIKey(ctx, apikeys.KeyData{Name: "a", TokenLimit: 100})
	b := client.APIKeys.CreateAPIKey(ctx, apikeys.KeyData{Name: "b", TokenLimit: 7})
	first, _ := a.Get()
	second, _ := b.Get()

	err := client.Transactions.InTransaction(ctx, repo.TxOptions{IsolationLevel: repo.Serializable}, func(c *repo.Client) error {
		one, err := c.APIKeys.GetAPIKey(ctx, first.ID).Get()
		if err != nil {
			return err
		}
		other, err := c.APIKeys.GetAPIKey(ctx, second.ID).Get()
		if err != nil {
			return err
		}
		return errors.Join(
			c.APIKeys.UpdateAPIKey(ctx, one.ID, apikeys.Patch{TokenLimit: result.Set(other.TokenLimit)}).Err(),
			c.APIKeys.UpdateAPIKey(ctx, other.ID, apikeys.Patch{TokenLimit: result.Set(one.TokenLimit)}).Err(),
		)
	})
	now, _ := client.APIKeys.GetAPIKey(ctx, first.ID).Get()
	fmt.Println(err, now.TokenLimit)
	// Output: <nil> 7
}

func ExampleTransactions_BeginTransaction() {
	ctx := context.Background()
	client, done := openExample()
	defer done()
	tx, err := client.Transactions.BeginTransaction(ctx, repo.TxOptions{Timeout: 10 * time.Second})
	if err != nil {
		fmt.Println(err)
		return
	}
	key, _ := tx.Client.APIKeys.CreateAPIKey(ctx, apikeys.KeyData{Name: "alice"}).Get()
	fmt.Println("outside, before:", client.APIKeys.ValidateAPIKey(ctx, key.HashedKey).Err())
	fmt.Println("commit:", client.Transactions.CommitTransaction(ctx, tx.TransactionID).Err())
	fmt.Println("outside, after:", client.APIKeys.ValidateAPIKey(ctx, key.HashedKey).Err())
	fmt.Println("again:", errors.Is(client.Transactions.RollbackTransaction(ctx, tx.TransactionID).Err(), result.TransactionClosed))
	// Output:
	// outside, before: DB_RECORD_NOT_FOUND: record not found
	// commit: <nil>
	// outside, after: <nil>
	// again: true
}

func ExampleTransactions_BatchOperation() {
	ctx := context.Background()
	client, done := openExample()
	defer done()
	results, err := client.Transactions.BatchOperation(ctx, []batch.Operation{
		{Type: batch.Create, Table: "api_keys", Data: map[string]any{"name": "alice", "daily_cost_limit": 12.5}},
		{Type: batch.Create, Table: "api_keys", Data: map[string]any{"name": "bob", "api_key": "cr_imported"}},
		{Type: batch.Update, Table: "api_keys", Data: map[string]any{"is_active": false}, Where: map[string]any{"name": "bob"}},
		{Type: batch.Delete, Table: "api_keys", Where: map[string]any{"daily_cost_limit": map[string]any{"gt": 10}}},
	}, repo.TxOptions{}).Get()
	fmt.Println(len(results), err)
	fmt.Println(results[1].(apikeys.BatchCreated).APIKey)
	fmt.Println(len(results[2].(batch.Affected).IDs), len(results[3].(batch.Affected).IDs))

	_, err = client.Transactions.BatchOperation(ctx, []batch.Operation{
		{Type: batch.Create, Table: "api_keys", Data: map[string]any{"name": "carol"}},
		{Type: batch.Delete, Table: "api_keys"},
	}, repo.TxOptions{}).Get()
	fmt.Println(err, result.From(err).Details["index"])
	// Output:
	// 4 <nil>
	// cr_imported
	// 1 1
	// DB_INVALID_QUERY: where: required: say which rows 1
}

// openExample opens a client on a database of its own.
func openExample() (client *repo.Client, done func()) {
	url, drop := testdb.ForExample()
	client, err := repo.Open(context.Background(), repo.Config{DatabaseURL: url})
	if err != nil {
		panic(err)
	}
	return client, func() { _ = client.Close(context.Background()); drop() }
}
