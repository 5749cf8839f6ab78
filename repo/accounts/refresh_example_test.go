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

// provider is a gateway's own TokenRefresher. For OAuth 2.0, Config.OAuth is enough.
type provider struct{}

func (provider) Refresh(_ context.Context, req accounts.RefreshRequest) (accounts.Tokens, error) {
	if req.RefreshToken == "revoked" {
		return accounts.Tokens{}, &accounts.RefreshError{Kind: accounts.RefreshInvalidGrant, Status: 400}
	}
	return accounts.Tokens{AccessToken: "access 2", RefreshToken: "refresh 2", ExpiresAt: time.Now().Add(8 * time.Hour)}, nil
}

// A token has expired: whoever asks first refreshes it for all.
func ExampleRepo_RefreshOAuthToken() {
	ctx := context.Background()
	url, drop := testdb.ForExample() // elsewhere: repo.ConfigFromEnv
	defer drop()
	keys, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		log.Panic(err)
	}
	client, err := repo.Open(ctx, repo.Config{DatabaseURL: url, Keyset: keys, TokenRefresher: provider{}})
	if err != nil {
		log.Panic(err)
	}
	defer client.Close(ctx)

	for _, token := range []string{"refresh 1", "revoked"} {
		created, err := client.Accounts.CreateClaudeAccount(ctx, accounts.AccountData{Name: "main", OAuthData: &accounts.OAuthData{
			AccessToken: "access 1", RefreshToken: token, Scopes: []string{"user:inference"}, ExpiresAt: time.Now(),
		}}).Get()
		if err != nil {
			log.Panic(err)
		}
		refreshed, err := client.Accounts.RefreshOAuthToken(ctx, created.ID).Get()
		fmt.Println(refreshed.AccessToken, errors.Is(err, result.UpstreamRefreshFailed))
		if err != nil {
			fmt.Println(result.From(err).Details["reason"])
		}
		c, err := client.Accounts.GetCredentials(ctx, created.ID).Get()
		fmt.Println(c.AccessToken, c.IsActive, err)
	}
	// Output:
	// access 2 false
	// access 2 true <nil>
	//  true
	// invalid_grant
	// access 1 false <nil>
}
