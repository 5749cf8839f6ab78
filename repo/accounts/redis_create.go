package accounts

import (
	"context"
	"strings"
	"time"
	"unicode"

	"github.com/google/uuid"

	"github.com/seed14a526e0/relaystore/internal/legacy"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

// millisecond is as exact as the layout's times are.
func (l *legacyAccounts) millisecond() time.Time { return l.now().UTC().Truncate(time.Millisecond) }

// create stores normalised data as the service would.
func (l *legacyAccounts) create(ctx context.Context, id uuid.UUID, d AccountData) (Created, error) {
	now := l.tick()
	fields, err := l.fields(id, &d, now)
	if err != nil {
		return Created{}, err
	}
	place, _ := legacy.PlaceOf(d.Platform) // normalise knows the same platforms
	f := &found{place: place, id: id, fields: fields}
	pairs, err := f.pairs()
	if err != nil {
		return Created{}, err
	}
	keys := []string{place.Index(), place.NoneKey(), sharedOr(place), f.key()}
	others, _ := accountKeys(id)
	shared := "0"
	if place.Shared() != "" && d.AccountType == accountTypes[0] {
		shared = "1"
	}
	args := append([]string{id.String(), shared, kind(place)}, counted(pairs)...)
	reply, err := l.redis.Write(ctx, strategy.Account, createScript, append(keys, others...), args)
	if err != nil {
		return Created{}, err
	}
	if n, err := reply.AsInt64(); err != nil || n == 0 {
		return Created{}, result.From(result.DuplicateKey).With("field", "id")
	}
	return Created{ID: id.String(), Name: d.Name, Status: Active, CreatedAt: now}, nil
}

// fields are those of a new account.
func (l *legacyAccounts) fields(id uuid.UUID, d *AccountData, now time.Time) (map[string]string, error) {
	rec := legacy.AccountRecord{
		Platform: d.Platform, ID: id.String(), Name: d.Name, Description: d.Description, AccountType: d.AccountType,
		Priority: d.Priority, IsActive: true, Schedulable: *d.Schedulable, Status: Active, CreatedAt: now, UpdatedAt: now,
	}
	var err error
	if rec.Details, err = d.Details.legacyDetails(); err != nil {
		return nil, err
	}
	if err = d.give(&rec); err != nil {
		return nil, err
	}
	e := l.encoder(rec)
	fields, err := e.Account()
	if err != nil {
		return nil, err
	}
	fields[ownCreatedAt] = now.Format(time.RFC3339Nano)
	if left := d.Secrets.give(&rec); left.text() != "" {
		fields[ownSecrets], err = e.Sealer.Seal(d.Platform, left.text())
	}
	return fields, err
}

func (l *legacyAccounts) encoder(rec legacy.AccountRecord) *legacy.AccountEncoder {
	return &legacy.AccountEncoder{AccountRecord: rec, Sealer: sealing{l.legacy.cipher}, Zone: l.redis.Zone}
}

// sealing refuses secrets where there is no key for them.
type sealing struct{ cipher *legacy.Cipher }

// Seal is the cipher's.
func (s sealing) Seal(platform, text string) (string, error) {
	switch {
	case text == "":
		return "", nil
	case s.cipher == nil:
		return "", errNoLegacyKey
	}
	return s.cipher.Seal(platform, text)
}

// give brings credentials to a record, all that there are.
func (d *AccountData) give(rec *legacy.AccountRecord) error {
	rec.AccessToken, rec.RefreshToken, rec.Scopes, rec.ExpiresAt = "", "", nil, time.Time{}
	if o := d.OAuthData; o != nil {
		for _, s := range o.Scopes {
			if strings.ContainsFunc(s, unicode.IsSpace) {
				return result.Invalid("oauthData.scopes", "accounts in Redis keep them with spaces between: one holds a space")
			}
		}
		rec.AccessToken, rec.RefreshToken, rec.Scopes, rec.ExpiresAt = o.AccessToken, o.RefreshToken, o.Scopes, o.ExpiresAt
	}
	rec.APIKey = d.APIKey
	d.Secrets.give(rec)
	rec.Proxy = nil
	if c := d.ProxyConfig; c != nil {
		rec.Proxy = &legacy.Proxy{Type: c.Type, Host: c.Host, Port: c.Port, Username: c.Username, Password: c.Password}
	}
	return nil
}

// setCredentials replaces what the patch has.
func (l *legacyAccounts) setCredentials(ctx context.Context, id uuid.UUID, p CredentialsPatch, given *AccountData) error {
	_, err := l.change(ctx, id, func(f *found) (patch, error) {
		rec, s, err := l.openRecord(f)
		if err != nil && (l.legacy.cipher == nil || f.place.Platform == OpenAI && p.OAuthData.IsZero()) {
			return patch{}, err // else what does not open is replaced, or stays as it is
		}
		next := AccountData{APIKey: rec.APIKey, Secrets: s, ProxyConfig: given.ProxyConfig}
		next.OAuthData = &OAuthData{AccessToken: rec.AccessToken, RefreshToken: rec.RefreshToken, Scopes: rec.Scopes, ExpiresAt: rec.ExpiresAt}
		if !p.OAuthData.IsZero() {
			next.OAuthData = given.OAuthData
		}
		if !p.APIKey.IsZero() {
			next.APIKey = given.APIKey
		}
		if !p.Secrets.IsZero() {
			next.Secrets = given.Secrets
		}
		return l.credentialsPatch(rec, p, &next)
	})
	return err
}

func (l *legacyAccounts) credentialsPatch(rec legacy.AccountRecord, p CredentialsPatch, next *AccountData) (patch, error) {
	word := status(&rec)
	if err := next.give(&rec); err != nil {
		return patch{}, err
	}
	rec.UpdatedAt = l.millisecond()
	e := l.encoder(rec)
	set, err := e.Credentials(!p.OAuthData.IsZero(), !p.APIKey.IsZero(), !p.Secrets.IsZero(), !p.ProxyConfig.IsZero())
	if err != nil {
		return patch{}, err
	}
	if !p.Secrets.IsZero() {
		left := next.Secrets.give(&rec)
		if set[ownSecrets], err = e.Sealer.Seal(rec.Platform, left.text()); err != nil {
			return patch{}, err
		}
	}
	set["updatedAt"] = legacy.TimeText(rec.UpdatedAt)
	cures := hasValue(p.OAuthData) || hasValue(p.APIKey) || hasValue(p.Secrets)
	if cures && word == InError {
		set["status"], set["errorMessage"] = Active, ""
	}
	return patch{watch: []string{"status", "isActive", "idToken"}, set: set}, nil
}
