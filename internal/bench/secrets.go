package bench

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/seed14a526e0/relaystore/repo/accounts"
	"github.com/seed14a526e0/relaystore/repo/sessions"
)

// createSecrets adds an account that has every secret, and a session.
func (b *validation) createSecrets(ctx context.Context) error {
	token := func(name string) string { return name + strings.Repeat("x", 100) }
	created, err := b.lib.Accounts.CreateAccount(ctx, accounts.AccountData{
		Name: "measured", Platform: accounts.Claude, APIKey: token("key"),
		OAuthData: &accounts.OAuthData{
			AccessToken: token("access"), RefreshToken: token("refresh"), Scopes: []string{"user:inference"}, ExpiresAt: time.Now().Add(24 * time.Hour),
		},
		ProxyConfig: &accounts.ProxyConfig{Type: "socks5", Host: "127.0.0.1", Port: 1080, Username: "user", Password: token("proxy")},
		Secrets: accounts.Secrets{
			IDToken: token("id"), Email: "a@example.org", Password: token("password"), BearerToken: token("bearer"), APIKeys: []string{token("droid")},
			AWS: &accounts.AWSCredentials{AccessKeyID: token("aws"), SecretAccessKey: token("secret"), SessionToken: token("session")},
		},
	}).Get()
	if err != nil {
		return err
	}
	s, err := b.lib.Sessions.CreateSession(ctx, sessions.Data{
		UserID: "measured", UserType: sessions.User, SessionData: json.RawMessage(`{"role":"viewer"}`), IPAddress: "127.0.0.1",
	}).Get()
	b.accounts = newDraw(1, func(int) string { return created.ID })
	b.sessions = newDraw(1, func(int) string { return s.SessionToken })
	return err
}

// warmSecrets waits until both are cached: a write keeps them out for a moment.
func (b *validation) warmSecrets(ctx context.Context) error {
	for _, ask := range []func(context.Context) error{
		func(ctx context.Context) error { return b.lib.Accounts.GetCredentials(ctx, b.accounts[0]).Err() },
		func(ctx context.Context) error { return b.lib.Sessions.ValidateSession(ctx, b.sessions[0]).Err() },
	} {
		if err := b.lib.cached(ctx, ask); err != nil {
			return err
		}
		if err := ask(ctx); err != nil { // what Redis answered before is now in the process
			return err
		}
	}
	return nil
}

func (b *validation) credentials(ctx context.Context) (float64, error) {
	return b.accounts.alone(b.secretOps, func(id string) bool {
		c, err := b.lib.Accounts.GetCredentials(ctx, id).Get()
		return err == nil && c.AccessToken != ""
	})
}

func (b *validation) session(ctx context.Context) (float64, error) {
	return b.sessions.alone(b.secretOps, func(token string) bool {
		v, err := b.lib.Sessions.ValidateSession(ctx, token).Get()
		return err == nil && v.IsValid
	})
}
