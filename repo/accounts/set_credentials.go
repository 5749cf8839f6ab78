package accounts

import (
	"context"

	"github.com/google/uuid"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

// SetCredentials authorises an account anew: it replaces what the patch has, and
// new tokens, keys or secrets end the status error. A refresh that is in flight
// stores nothing over them. When it has returned, no call of this process gives
// the older credentials.
func (r *Repo) SetCredentials(ctx context.Context, accountID string, patch CredentialsPatch) result.Status {
	return result.StatusOf(strategy.Followed(func() error { return r.setCredentials(ctx, accountID, patch) }))
}

func (r *Repo) setCredentials(ctx context.Context, accountID string, patch CredentialsPatch) error {
	id, err := result.ParseID("accountId", accountID)
	if err != nil {
		return err
	}
	given, err := patch.values()
	if err != nil {
		return err
	}
	switch l, err := r.onRedis(); {
	case err != nil:
		return err
	case l != nil:
		return l.setCredentials(ctx, id, patch, &given)
	}
	s, err := r.seal(id, given.texts())
	if err != nil {
		return err
	}
	return r.write(ctx, id, func(ctx context.Context, tx db.DBTX) error {
		row, err := r.queries.AccountGetCredentialsForUpdate(ctx, tx, id)
		if err != nil {
			return err
		}
		p := patch.row(row, given.row(id, s, r.tick()))
		_, err = r.queries.AccountSetCredentials(ctx, tx, p)
		return err
	})
}

// values gives the patch as checked data, where what is absent is empty.
func (p CredentialsPatch) values() (d AccountData, err error) {
	if p.OAuthData.IsZero() && p.APIKey.IsZero() && p.Secrets.IsZero() && p.ProxyConfig.IsZero() {
		return d, result.New(result.InvalidQuery, "the patch has no member")
	}
	var o OAuthData
	var c ProxyConfig
	if p.OAuthData.Apply(&o, OAuthData{}); hasValue(p.OAuthData) {
		d.OAuthData = &o
	}
	if p.ProxyConfig.Apply(&c, ProxyConfig{}); hasValue(p.ProxyConfig) {
		d.ProxyConfig = &c
	}
	p.APIKey.Apply(&d.APIKey, "")
	p.Secrets.Apply(&d.Secrets, Secrets{})
	d.Schedulable = new(bool) // row wants one
	return d, d.checkCredentials()
}

func hasValue[T any](o result.Opt[T]) bool { return !o.IsZero() && !o.IsNull() }

// row brings what the patch has, as given, to what is stored.
func (p CredentialsPatch) row(stored db.AccountGetCredentialsForUpdateRow, given db.AccountInsertParams) db.AccountSetCredentialsParams {
	next := db.AccountSetCredentialsParams{
		ID: stored.ID, Now: given.Now,
		Cures:  hasValue(p.OAuthData) || hasValue(p.APIKey) || hasValue(p.Secrets),
		Scopes: stored.Scopes, TokenExpiresAt: stored.TokenExpiresAt, AccessToken: stored.AccessToken, RefreshToken: stored.RefreshToken,
		APIKey: stored.APIKey, OtherSecrets: stored.OtherSecrets,
		ProxyType: stored.ProxyType, ProxyHost: stored.ProxyHost, ProxyPort: stored.ProxyPort,
		ProxyUsername: stored.ProxyUsername, ProxyPassword: stored.ProxyPassword,
	}
	if !p.OAuthData.IsZero() {
		next.Scopes, next.TokenExpiresAt = given.Scopes, given.TokenExpiresAt
		next.AccessToken, next.RefreshToken = given.AccessToken, given.RefreshToken
	}
	if !p.APIKey.IsZero() {
		next.APIKey = given.APIKey
	}
	if !p.Secrets.IsZero() {
		next.OtherSecrets = given.OtherSecrets
	}
	if !p.ProxyConfig.IsZero() {
		next.ProxyType, next.ProxyHost, next.ProxyPort = given.ProxyType, given.ProxyHost, given.ProxyPort
		next.ProxyUsername, next.ProxyPassword = given.ProxyUsername, given.ProxyPassword
	}
	return next
}

// storeTokens stores what a refresh gave for the credentials of a version, inside
// write's transaction. It is false where they have changed since, or the account
// is deleted. An empty refresh token, and nil scopes, keep those that are stored. The
// error that a refused refresh token has set ends.
func (r *Repo) storeTokens(ctx context.Context, tx db.DBTX, id uuid.UUID, version int64, o OAuthData) (bool, error) {
	var t texts
	t[accessToken], t[refreshToken] = o.AccessToken, o.RefreshToken
	s, err := r.seal(id, t)
	if err != nil {
		return false, err
	}
	n, err := r.queries.AccountStoreTokens(ctx, tx, db.AccountStoreTokensParams{
		ID: id, Version: version, AccessToken: s[accessToken], RefreshToken: s[refreshToken],
		Scopes: o.Scopes, TokenExpiresAt: nullable(o.ExpiresAt), Now: r.tick(), Refuted: []string{messageRefused, messageLost},
	})
	return n == 1, err
}
