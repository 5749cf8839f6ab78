package apikeys_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// A key's life: created, validated by what the client sent, disabled, deleted.
func Example() {
	ctx := context.Background()
	url, drop := testdb.ForExample() // elsewhere: repo.ConfigFromEnv
	defer drop()
	client, err := repo.Open(ctx, repo.Config{DatabaseURL: url})
	if err != nil {
		log.Panic(err)
	}
	defer client.Close(ctx) //nolint:errcheck // an example

	key, err := client.APIKeys.CreateAPIKey(ctx, apikeys.KeyData{
		Name: "alice", Permissions: "claude", DailyCostLimit: result.MustMoney("12.50"), ExpiresAt: time.Now().Add(24 * time.Hour),
	}).Get()
	if err != nil {
		log.Panic(err)
	}
	say := func() {
		v, err := client.APIKeys.ValidatePlaintext(ctx, key.APIKey).Get()
		if errors.Is(err, result.RecordNotFound) {
			fmt.Println("unknown")
			return
		}
		fmt.Println(v.Permissions, v.RateLimits.Daily, v.IsActive, err)
	}
	say()
	fmt.Println(client.APIKeys.UpdateAPIKey(ctx, key.ID, apikeys.Patch{IsActive: result.Set(false)}).Err())
	say()
	fmt.Println(client.APIKeys.DeleteAPIKey(ctx, key.ID).Err())
	say()
	// Output:
	// claude 12.5 true <nil>
	// <nil>
	// claude 12.5 false <nil>
	// <nil>
	// unknown
}

func ExampleHashPlaintext() {
	fmt.Println(apikeys.HashPlaintext("cr_test"))
	fmt.Println(apikeys.LegacyHash("cr_test", "CHANGE-THIS-32-CHARACTER-KEY-NOW"))
	// Output:
	// e4fef97da781febe1f10f6fc39cf8d3b814a49510a2778559163e44b6dce5e05
	// 1b32d67e8a87653fca450cfe9bf7ae56f321813a9ddf416940a921f66d9a6cae
}
