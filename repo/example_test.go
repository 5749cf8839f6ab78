package repo_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
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
	// DB_INVALID_QUERY: DATABASE_URL: required, unless a Pool is passed in
	// DB_INVALID_QUERY: RELAYSTORE_REQUIRE_REDIS: contradicts an empty REDIS_URL
}
