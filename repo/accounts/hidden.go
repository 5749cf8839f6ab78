package accounts

import (
	"encoding/json"

	"github.com/seed14a526e0/relaystore/repo/result"
)

// hidden keeps the secrets of a struct that embeds it out of prints and logs, also
// where a logger makes JSON of a list or a struct that holds it. JSON is how secrets
// come in; they go out by RevealJSON alone.
type hidden = result.Hidden

var (
	_ result.Revealer = Credentials{}
	_ result.Revealer = Refreshed{}
)

// RevealJSON gives the credentials with every secret, and times as JavaScript prints
// them; MarshalJSON gives "[redacted]". The envelope of GetCredentials uses it.
func (c Credentials) RevealJSON() ([]byte, error) {
	type (
		keys struct {
			AccessKeyID     string `json:"accessKeyId"`
			SecretAccessKey string `json:"secretAccessKey"`
			SessionToken    string `json:"sessionToken,omitempty"`
		}
		secrets struct {
			IDToken     string   `json:"idToken,omitempty"`
			Email       string   `json:"email,omitempty"`
			Password    string   `json:"password,omitempty"`
			AWS         *keys    `json:"awsCredentials,omitempty"`
			BearerToken string   `json:"bearerToken,omitempty"`
			APIKeys     []string `json:"apiKeys,omitempty"`
		}
	)
	s := secrets{c.Secrets.IDToken, c.Secrets.Email, c.Secrets.Password, nil, c.Secrets.BearerToken, c.Secrets.APIKeys}
	if a := c.Secrets.AWS; a != nil {
		s.AWS = &keys{a.AccessKeyID, a.SecretAccessKey, a.SessionToken}
	}
	return json.Marshal(struct { //nolint:gosec // this is what it is for
		AccountID    string      `json:"accountId"`
		Platform     string      `json:"platform"`
		IsActive     bool        `json:"isActive"`
		AccessToken  string      `json:"accessToken,omitempty"`
		RefreshToken string      `json:"refreshToken,omitempty"`
		APIKey       string      `json:"apiKey,omitempty"`
		Secrets      secrets     `json:"secrets,omitzero"`
		Scopes       []string    `json:"scopes,omitempty"`
		ExpiresAt    result.Time `json:"expiresAt,omitzero"`
		ProxyConfig  *proxyJSON  `json:"proxyConfig,omitempty"`
	}{
		c.AccountID, c.Platform, c.IsActive, c.AccessToken, c.RefreshToken, c.APIKey, s, c.Scopes, result.Time(c.ExpiresAt), c.ProxyConfig.json(),
	})
}
