package accounts_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/accounts"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// addForExample adds a Claude account and gives its id.
func addForExample(ctx context.Context, client *repo.Client, name string, priority int) string {
	created, err := client.Accounts.CreateClaudeAccount(ctx, accounts.AccountData{
		Name: name, Priority: priority,
		OAuthData: &accounts.OAuthData{
			AccessToken: "sk-ant-oat01-…", RefreshToken: "sk-ant-ort01-…", Scopes: []string{"user:inference"},
			ExpiresAt: time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC),
		},
	}).Get()
	if err != nil {
		log.Panic(err)
	}
	return created.ID
}

// An account goes through a SOCKS proxy of its own; what is wrong is named.
func ExampleRepo_CreateClaudeAccount() {
	ctx := context.Background()
	client, closeAll := openForExample(ctx)
	defer closeAll()
	data := accounts.AccountData{
		Name: "main",
		OAuthData: &accounts.OAuthData{
			AccessToken: "sk-ant-oat01-…", RefreshToken: "sk-ant-ort01-…", Scopes: []string{"user:inference"}, ExpiresAt: time.Now().Add(8 * time.Hour),
		},
		ProxyConfig: &accounts.ProxyConfig{Type: "socks5", Host: "proxy.example", Port: 1080, Username: "gateway", Password: "…"},
	}
	created, err := client.Accounts.CreateClaudeAccount(ctx, data).Get()
	fmt.Println(created.Name, created.Status, err)

	data.ProxyConfig.Type = "socks4"
	err = client.Accounts.CreateClaudeAccount(ctx, data).Err()
	fmt.Println(errors.Is(err, result.InvalidQuery), result.From(err).Field())
	// Output:
	// main active <nil>
	// true proxyConfig.type
}

// What the account is and has used, without its secrets.
func ExampleRepo_GetClaudeAccount() {
	ctx := context.Background()
	client, closeAll := openForExample(ctx)
	defer closeAll()
	a, err := client.Accounts.GetClaudeAccount(ctx, addForExample(ctx, client, "main", 0)).Get()
	fmt.Println(a.Name, a.Status, a.TokenExpiresAt.Format(time.DateOnly), err)
	fmt.Println(a.RateLimitStatus.Remaining, "tokens left, as far as known:", a.UsageStats.TotalRequests, "requests for $"+a.UsageStats.TotalCost.String())
	// Output:
	// main active 2099-01-01 <nil>
	// -1 tokens left, as far as known: 0 requests for $0
}

// The provider has answered 429: the account is left alone until its limit ends.
func ExampleRepo_UpdateAccountStatus() {
	ctx := context.Background()
	client, closeAll := openForExample(ctx)
	defer closeAll()
	id := addForExample(ctx, client, "main", 0)
	none := int64(0)
	fmt.Println(client.Accounts.UpdateAccountStatus(ctx, id, accounts.RateLimited, accounts.StatusMetadata{
		RateLimitResetAt: time.Date(2099, 1, 1, 5, 0, 0, 0, time.UTC), TokensRemaining: &none, ErrorMessage: "429",
	}).Err())
	a, err := client.Accounts.GetAccount(ctx, id).Get()
	fmt.Println(a.Status, a.ErrorMessage, a.RateLimitStatus.Remaining, a.RateLimitStatus.ResetAt.Format(time.DateTime), err)
	// Output:
	// <nil>
	// rate_limited 429 0 2099-01-01 05:00:00 <nil>
}

// Best first: by priority, then the one that was used longest ago. A limit that has
// passed keeps nobody out, though no one has written that it is over.
func ExampleRepo_GetAvailableAccounts() {
	ctx := context.Background()
	client, closeAll := openForExample(ctx)
	defer closeAll()
	add := func(name string, priority int, status string, m accounts.StatusMetadata) {
		client.Accounts.UpdateAccountStatus(ctx, addForExample(ctx, client, name, priority), status, m)
	}
	add("just used", 20, accounts.Active, accounts.StatusMetadata{LastRequestAt: time.Now()})
	add("limit passed", 20, accounts.RateLimited, accounts.StatusMetadata{RateLimitResetAt: time.Now().Add(-time.Second)})
	add("limited", 10, accounts.RateLimited, accounts.StatusMetadata{RateLimitResetAt: time.Now().Add(time.Hour)})
	add("preferred", 1, accounts.Active, accounts.StatusMetadata{LastRequestAt: time.Now()})

	list, err := client.Accounts.GetAvailableAccounts(ctx, accounts.AvailableFilters{}).Get()
	for _, a := range list {
		fmt.Println(a.Name)
	}
	fmt.Println(err)
	// Output:
	// preferred
	// limit passed
	// just used
	// <nil>
}
