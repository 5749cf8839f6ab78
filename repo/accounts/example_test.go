package accounts_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"

	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/accounts"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// openForExample opens a client whose keyset lives as long as the example.
// Elsewhere it comes from a file: relaystore keyset create, RELAYSTORE_KEYSET_FILE.
func openForExample(ctx context.Context) (*repo.Client, func()) {
	url, drop := testdb.ForExample() // elsewhere: repo.ConfigFromEnv
	keys, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		log.Panic(err)
	}
	client, err := repo.Open(ctx, repo.Config{DatabaseURL: url, Keyset: keys})
	if err != nil {
		log.Panic(err)
	}
	return client, func() {
		_ = client.Close(ctx)
		drop()
	}
}

// An account's life in a gateway: added, taken by the scheduler, limited, deleted.
func Example() {
	ctx := context.Background()
	client, closeAll := openForExample(ctx)
	defer closeAll()

	created, err := client.Accounts.CreateClaudeAccount(ctx, accounts.AccountData{
		Name: "main",
		OAuthData: &accounts.OAuthData{
			AccessToken: "sk-ant-oat01-…", RefreshToken: "sk-ant-ort01-…", Scopes: []string{"user:inference"}, ExpiresAt: time.Now().Add(8 * time.Hour),
		},
		ProxyConfig: &accounts.ProxyConfig{Type: "socks5", Host: "proxy.example", Port: 1080},
	}).Get()
	if err != nil {
		log.Panic(err)
	}
	available := func() {
		list, err := client.Accounts.GetAvailableAccounts(ctx, accounts.AvailableFilters{}).Get()
		fmt.Println(len(list), "available", err)
	}
	available()
	c, err := client.Accounts.GetCredentials(ctx, created.ID).Get()
	fmt.Println(c.AccessToken, c.ProxyConfig.Host, c.IsActive, err)
	fmt.Println(c) // whoever logs it logs no secret

	limit := accounts.StatusMetadata{RateLimitResetAt: time.Now().Add(time.Hour)}
	fmt.Println(client.Accounts.UpdateAccountStatus(ctx, created.ID, accounts.RateLimited, limit).Err())
	available()
	fmt.Println(client.Accounts.DeleteAccount(ctx, created.ID).Err())
	_, err = client.Accounts.GetCredentials(ctx, created.ID).Get()
	fmt.Println(errors.Is(err, result.RecordNotFound))
	// Output:
	// 1 available <nil>
	// sk-ant-oat01-… proxy.example true <nil>
	// [redacted]
	// <nil>
	// 0 available <nil>
	// <nil>
	// true
}

// Authorising anew ends an account's error.
func ExampleRepo_SetCredentials() {
	ctx := context.Background()
	client, closeAll := openForExample(ctx)
	defer closeAll()
	created, err := client.Accounts.CreateAccount(ctx, accounts.AccountData{Platform: accounts.GeminiAPI, Name: "spare", APIKey: "old"}).Get()
	if err != nil {
		log.Panic(err)
	}
	say := func() {
		a, err := client.Accounts.GetAccount(ctx, created.ID).Get()
		fmt.Printf("%s %q %v\n", a.Status, a.ErrorMessage, err)
	}
	client.Accounts.UpdateAccountStatus(ctx, created.ID, accounts.InError, accounts.StatusMetadata{ErrorMessage: "the key was revoked"})
	say()
	fmt.Println(client.Accounts.SetCredentials(ctx, created.ID, accounts.CredentialsPatch{APIKey: result.Set("new")}).Err())
	say()
	// Output:
	// error "the key was revoked" <nil>
	// <nil>
	// active "" <nil>
}
