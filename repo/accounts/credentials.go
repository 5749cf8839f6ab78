package accounts

import (
	"context"
	"slices"

	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

// GetCredentials gives what a call to the provider needs, from the cache, which
// keeps it sealed. A deleted account is RecordNotFound. One whose secrets do not
// open is Internal with details.keyId; without a keyset it is InvalidQuery naming
// RELAYSTORE_KEYSET. When a deletion, SetCredentials or a status has been written
// by this process, no later call gives anything older.
func (r *Repo) GetCredentials(ctx context.Context, accountID string) result.Result[Credentials] {
	return result.Of(r.credentials(ctx, accountID))
}

func (r *Repo) credentials(ctx context.Context, accountID string) (Credentials, error) {
	id, err := result.ParseID("accountId", accountID)
	if err != nil {
		return Credentials{}, err
	}
	switch l, err := r.onRedis(); {
	case err != nil:
		return Credentials{}, err
	case l != nil:
		return l.get(ctx, id)
	}
	rec, err := r.lookup(ctx, id)
	switch {
	case err != nil:
		return Credentials{}, strategy.Overload(err)
	case rec == nil:
		return Credentials{}, result.RecordNotFound
	}
	t, err := r.open(rec.ID, &rec.Sealed)
	if err != nil {
		return Credentials{}, err
	}
	return rec.credentials(t), nil
}

func (rec *record) credentials(t texts) Credentials {
	return Credentials{
		AccountID: rec.ID.String(), Platform: rec.Platform, IsActive: rec.IsActive,
		AccessToken: t[accessToken], RefreshToken: t[refreshToken], APIKey: t[apiKey], Secrets: parseSecrets(t[otherSecrets]),
		Scopes: slices.Clone(rec.Scopes), ExpiresAt: rec.ExpiresAt,
		ProxyConfig: proxy(rec.ProxyType, rec.ProxyHost, rec.ProxyPort, rec.ProxyUsername, t[proxyPassword]),
	}
}
