package accounts

import (
	"context"
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/internal/dbtype"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

// CreateClaudeAccount stores a new Claude account, which is active. OAuthData is
// required with all its members. Wrong input is InvalidQuery and names the field,
// a taken id DuplicateKey; without a keyset it is InvalidQuery naming
// RELAYSTORE_KEYSET.
func (r *Repo) CreateClaudeAccount(ctx context.Context, data AccountData) result.Result[Created] {
	if err := data.checkClaude(); err != nil {
		return result.Fail[Created](err)
	}
	data.Platform = Claude
	return r.CreateAccount(ctx, data)
}

// CreateAccount is CreateClaudeAccount for any platform. Whatever secrets the
// platform needs may also come later, through SetCredentials.
func (r *Repo) CreateAccount(ctx context.Context, data AccountData) result.Result[Created] {
	return result.Of(strategy.Follow(func() (Created, error) { return r.create(ctx, data) }))
}

func (r *Repo) create(ctx context.Context, data AccountData) (Created, error) {
	id, err := newID(data.ID)
	if err != nil {
		return Created{}, err
	}
	if err := data.normalise(); err != nil {
		return Created{}, err
	}
	switch l, err := r.onRedis(); {
	case err != nil:
		return Created{}, err
	case l != nil:
		return l.create(ctx, id, data)
	}
	s, err := r.seal(id, data.texts())
	if err != nil {
		return Created{}, err
	}
	row := data.row(id, s, r.tick())
	err = r.write(ctx, id, func(ctx context.Context, tx db.DBTX) error {
		return r.queries.AccountInsert(ctx, tx, row)
	})
	if err != nil {
		return Created{}, err
	}
	return Created{ID: id.String(), Name: data.Name, Status: Active, CreatedAt: row.Now}, nil
}

// row gives the row of normalised data.
func (d *AccountData) row(id uuid.UUID, s sealed, now time.Time) db.AccountInsertParams {
	p := db.AccountInsertParams{
		ID: id, Platform: d.Platform, Name: d.Name, Description: d.Description,
		AccountType: d.AccountType, Priority: int16(d.Priority), Schedulable: *d.Schedulable, //nolint:gosec // normalise bounds it
		AccessToken: s[accessToken], RefreshToken: s[refreshToken], APIKey: s[apiKey],
		OtherSecrets: s[otherSecrets], ProxyPassword: s[proxyPassword],
		Scopes: []string{}, Details: d.Details.stored(), Now: now,
	}
	if o := d.OAuthData; o != nil {
		p.Scopes, p.TokenExpiresAt = list(o.Scopes), nullable(o.ExpiresAt)
	}
	if c := d.ProxyConfig; c != nil {
		p.ProxyType, p.ProxyHost, p.ProxyPort, p.ProxyUsername = c.Type, c.Host, int32(c.Port), c.Username //nolint:gosec // check bounds it
	}
	return p
}

func (d Details) stored() dbtype.JSON {
	doc, err := json.Marshal(d)
	if err != nil { // its documents are checked
		panic(err)
	}
	return doc
}

func nullable(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func utc(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}

// list gives an empty array for nil, which would be NULL.
func list(l []string) []string {
	if l == nil {
		return []string{}
	}
	return l
}
