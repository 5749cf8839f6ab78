package apikeys

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"github.com/seed14a526e0/relaystore/repo/result"
)

// plainKeyData is KeyData without its methods, so that it can be embedded.
type plainKeyData KeyData

// MarshalJSON prints times as JavaScript does.
func (d KeyData) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		plainKeyData
		ExpiresAt result.Time `json:"expiresAt,omitzero"`
	}{plainKeyData(d), result.Time(d.ExpiresAt)})
}

// UnmarshalJSON puts members that have no field into Extra. A refusal names the
// member.
func (d *KeyData) UnmarshalJSON(data []byte) error {
	unknown, err := result.Decode(data, (*plainKeyData)(d))
	if err != nil || len(unknown) == 0 {
		return err
	}
	for _, name := range []string{"isActive", "createdAt", "updatedAt", "lastUsedAt", "activatedAt"} {
		if _, given := unknown[name]; given {
			return result.Invalid(name, "not of a new key, which is active; update it afterwards")
		}
	}
	d.Extra, err = result.AddMembers(d.Extra, unknown)
	return err
}

// MarshalJSON prints times as JavaScript does.
func (k APIKey) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		plainKeyData
		ExpiresAt   result.Time `json:"expiresAt,omitzero"`
		IsActive    bool        `json:"isActive"`
		ActivatedAt result.Time `json:"activatedAt,omitzero"`
		LastUsedAt  result.Time `json:"lastUsedAt,omitzero"`
		CreatedAt   result.Time `json:"createdAt"`
		UpdatedAt   result.Time `json:"updatedAt"`
	}{
		plainKeyData(k.KeyData), result.Time(k.ExpiresAt), k.IsActive, result.Time(k.ActivatedAt),
		result.Time(k.LastUsedAt), result.Time(k.CreatedAt), result.Time(k.UpdatedAt),
	})
}

// UnmarshalJSON reads what MarshalJSON printed.
func (k *APIKey) UnmarshalJSON(data []byte) error {
	type stored struct {
		plainKeyData
		IsActive    bool      `json:"isActive"`
		ActivatedAt time.Time `json:"activatedAt"`
		LastUsedAt  time.Time `json:"lastUsedAt"`
		CreatedAt   time.Time `json:"createdAt"`
		UpdatedAt   time.Time `json:"updatedAt"`
	}
	var s stored
	if _, err := result.Decode(data, &s); err != nil {
		return err
	}
	*k = APIKey{KeyData(s.plainKeyData), s.IsActive, s.ActivatedAt, s.LastUsedAt, s.CreatedAt, s.UpdatedAt}
	return nil
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
func (v Validation) MarshalJSON() ([]byte, error) {
	type plain Validation
	return json.Marshal(struct {
		plain
		ExpiresAt result.Time `json:"expiresAt,omitzero"`
	}{plain(v), result.Time(v.ExpiresAt)})
}

// UnmarshalJSON refuses wrong and unknown members by name.
func (f *Filters) UnmarshalJSON(data []byte) error {
	type plain Filters
	return result.DecodeStrict(data, (*plain)(f))
}

// UnmarshalJSON refuses wrong, unknown and missing members by name.
func (u *UsageData) UnmarshalJSON(data []byte) error {
	type plain UsageData
	return result.DecodeStrict(data, (*plain)(u), "model", "inputTokens", "outputTokens", "cost", "requestCount")
}

// Format prints "[redacted]" for every verb: it holds a secret.
func (Created) Format(s fmt.State, verb rune) { result.Hidden{}.Format(s, verb) }

// LogValue logs "[redacted]".
func (Created) LogValue() slog.Value { return result.Hidden{}.LogValue() }

// Format prints "[redacted]" for every verb: it holds a secret.
func (BatchCreated) Format(s fmt.State, verb rune) { result.Hidden{}.Format(s, verb) }

// LogValue logs "[redacted]".
func (BatchCreated) LogValue() slog.Value { return result.Hidden{}.LogValue() }
