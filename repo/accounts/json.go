package accounts

import (
	"encoding/json"

	"github.com/seed14a526e0/relaystore/repo/result"
)

// UnmarshalJSON refuses wrong, unknown and missing members by name.
func (d *AccountData) UnmarshalJSON(data []byte) error {
	type plain AccountData
	return result.DecodeStrict(data, (*plain)(d), "name")
}

// UnmarshalJSON refuses wrong and unknown members by name.
func (o *OAuthData) UnmarshalJSON(data []byte) error {
	type plain OAuthData
	return result.DecodeStrict(data, (*plain)(o))
}

// UnmarshalJSON refuses wrong, unknown and missing members by name.
func (p *ProxyConfig) UnmarshalJSON(data []byte) error {
	type plain ProxyConfig
	return result.DecodeStrict(data, (*plain)(p), "type", "host", "port")
}

// proxyJSON is a ProxyConfig as JSON has it.
type proxyJSON struct {
	Type     string `json:"type"`
	Host     string `json:"host"`
	Port     int    `json:"port"`
	Username string `json:"username,omitempty"`
	Password string `json:"password,omitempty"`
}

func (p *ProxyConfig) json() *proxyJSON {
	if p == nil {
		return nil
	}
	return &proxyJSON{p.Type, p.Host, p.Port, p.Username, p.Password}
}

// MarshalJSON leaves the password out.
func (p ProxyConfig) MarshalJSON() ([]byte, error) {
	p.Password = ""
	return json.Marshal(p.json())
}

// UnmarshalJSON refuses wrong and unknown members by name.
func (s *Secrets) UnmarshalJSON(data []byte) error {
	type plain Secrets
	return result.DecodeStrict(data, (*plain)(s))
}

// UnmarshalJSON refuses wrong, unknown and missing members by name.
func (a *AWSCredentials) UnmarshalJSON(data []byte) error {
	type plain AWSCredentials
	return result.DecodeStrict(data, (*plain)(a), "accessKeyId", "secretAccessKey")
}

// UnmarshalJSON refuses wrong and unknown members by name.
func (p *CredentialsPatch) UnmarshalJSON(data []byte) error {
	type plain CredentialsPatch
	return result.DecodeStrict(data, (*plain)(p))
}

// MarshalJSON prints the time as JavaScript does.
func (c Created) MarshalJSON() ([]byte, error) {
	type plain Created
	return json.Marshal(struct {
		plain
		CreatedAt result.Time `json:"createdAt"`
	}{plain(c), result.Time(c.CreatedAt)})
}

// MarshalJSON prints the time as JavaScript does.
func (s RateLimitStatus) MarshalJSON() ([]byte, error) {
	type plain RateLimitStatus
	return json.Marshal(struct {
		plain
		ResetAt result.Time `json:"resetAt,omitzero"`
	}{plain(s), result.Time(s.ResetAt)})
}

// MarshalJSON prints times as JavaScript does.
func (a ClaudeAccount) MarshalJSON() ([]byte, error) {
	type plain ClaudeAccount
	return json.Marshal(struct {
		plain
		TokenExpiresAt result.Time `json:"tokenExpiresAt,omitzero"`
		LastUsedAt     result.Time `json:"lastUsedAt,omitzero"`
	}{plain(a), result.Time(a.TokenExpiresAt), result.Time(a.LastUsedAt)})
}

// MarshalJSON prints times as JavaScript does.
func (a Account) MarshalJSON() ([]byte, error) {
	type plain Account
	return json.Marshal(struct {
		plain
		TokenExpiresAt result.Time `json:"tokenExpiresAt,omitzero"`
		LastUsedAt     result.Time `json:"lastUsedAt,omitzero"`
		CreatedAt      result.Time `json:"createdAt"`
		UpdatedAt      result.Time `json:"updatedAt"`
	}{
		plain(a), result.Time(a.TokenExpiresAt), result.Time(a.LastUsedAt), result.Time(a.CreatedAt), result.Time(a.UpdatedAt),
	})
}

type plainDetails Details

// MarshalJSON prints the time as JavaScript does.
func (d Details) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		plainDetails
		SubscriptionExpiresAt result.Time `json:"subscriptionExpiresAt,omitzero"`
	}{plainDetails(d), result.Time(d.SubscriptionExpiresAt)})
}

// UnmarshalJSON puts members that have no field into Extra. A refusal names the
// member.
func (d *Details) UnmarshalJSON(data []byte) error {
	unknown, err := result.Decode(data, (*plainDetails)(d))
	if err == nil && len(unknown) > 0 {
		d.Extra, err = result.AddMembers(d.Extra, unknown)
	}
	return err
}
