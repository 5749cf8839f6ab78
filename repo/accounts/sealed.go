package accounts

import (
	"errors"

	"github.com/google/uuid"

	"github.com/seed14a526e0/relaystore/internal/seal"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// The sealed columns of a row.
const (
	accessToken = iota
	refreshToken
	apiKey
	otherSecrets
	proxyPassword
	sealedColumns
)

var columns = [sealedColumns]string{"access_token", "refresh_token", "api_key", "other_secrets", "proxy_password"}

// texts are opened, sealed are closed columns. Texts live only as long as a call.
type (
	texts  [sealedColumns]string
	sealed [sealedColumns][]byte
)

func (s sealed) empty() bool {
	for _, c := range s {
		if len(c) > 0 {
			return false
		}
	}
	return true
}

// errNoKeyset names the configuration that is missing.
var errNoKeyset = result.Invalid("RELAYSTORE_KEYSET", "required by an account's secrets; relaystore keyset create makes one")

// seal closes the texts for an account's row.
func (r *Repo) seal(id uuid.UUID, t texts) (s sealed, err error) {
	if t == (texts{}) {
		return s, nil
	}
	if r.Sealer == nil {
		return s, errNoKeyset
	}
	for i, text := range t {
		if s[i], err = r.Sealer.Seal(id, columns[i], text); err != nil {
			return s, result.New(result.Internal, "a secret cannot be sealed")
		}
	}
	return s, nil
}

// open gives the texts of an account's row.
func (r *Repo) open(id uuid.UUID, s *sealed) (t texts, err error) {
	if r.Sealer == nil && !s.empty() {
		return t, errNoKeyset
	}
	for i, c := range s {
		if len(c) == 0 {
			continue
		}
		if t[i], err = r.Sealer.Open(id, columns[i], c); err != nil {
			return texts{}, unopened(err)
		}
	}
	return t, nil
}

// unopened tells which column does not open and which key it names.
func unopened(err error) error {
	var e *seal.OpenError
	if !errors.As(err, &e) {
		return result.New(result.Internal, "a secret does not open")
	}
	return result.New(result.Internal, "%s", e.Error()).With("column", e.Column).With("keyId", e.KeyID)
}

func (d *AccountData) texts() (t texts) {
	t[apiKey], t[otherSecrets] = d.APIKey, d.Secrets.text()
	if o := d.OAuthData; o != nil {
		t[accessToken], t[refreshToken] = o.AccessToken, o.RefreshToken
	}
	if d.ProxyConfig != nil {
		t[proxyPassword] = d.ProxyConfig.Password
	}
	return t
}
