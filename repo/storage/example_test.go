package storage_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/google/uuid"

	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

func openForExample(ctx context.Context) (*repo.Client, func()) {
	url, drop := testdb.ForExample() // elsewhere: repo.ConfigFromEnv
	client, err := repo.Open(ctx, repo.Config{DatabaseURL: url, RedisURL: os.Getenv("REDIS_URL"), KeyPrefix: "example:" + uuid.NewString() + ":"})
	if err != nil {
		log.Panic(err)
	}
	return client, func() {
		_ = client.Close(ctx)
		drop()
	}
}

// How API keys are stored where nobody has switched that.
func ExampleRepo_GetStorageConfig() {
	client, closeAll := openForExample(context.Background())
	defer closeAll()
	s, err := client.Storage.GetStorageConfig(strategy.APIKey)
	fmt.Println(s.PrimaryStorage, s.EnableCache, s.CacheTTL, s.ReadStrategy, s.WriteStrategy, s.Epoch, err)
	// Output: postgres true 10m0s cache_first write_around 0 <nil>
}

// An operator suspects the cache and switches it off for sessions, in every process.
// What this version cannot do is refused, and named.
func ExampleRepo_SwitchStorageStrategy() {
	ctx := context.Background()
	client, closeAll := openForExample(ctx)
	defer closeAll()
	c := strategy.Config{
		PrimaryStorage: strategy.PrimaryPostgres, EnableCache: false,
		ReadStrategy: strategy.DatabaseFirst, WriteStrategy: strategy.WriteThrough,
	}
	s := client.Storage.SwitchStorageStrategy(ctx, strategy.Session, c)
	fmt.Println(s.Err(), s.Previous.EnableCache, s.Epoch)

	c.ReadStrategy = strategy.CacheOnly
	err := client.Storage.SwitchStorageStrategy(ctx, strategy.Session, c).Err()
	fmt.Println(result.From(err).Field())
	// Output:
	// <nil> true 1
	// readStrategy
}

// What a readiness probe asks: a server that hangs is not connected within a second.
func ExampleRepo_GetStorageHealth() {
	ctx := context.Background()
	client, closeAll := openForExample(ctx)
	defer closeAll()
	h, err := client.Storage.GetStorageHealth(ctx)
	fmt.Println(h.Postgres.Connected, h.Redis.Connected, h.Postgres.Pool.Max, err)
	// Output: true true 16 <nil>
}
