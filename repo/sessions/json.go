package sessions

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/seed14a526e0/relaystore/repo/result"
)

// seconds is a duration as JSON has it.
type seconds time.Duration

// MarshalJSON gives the number of seconds.
func (s seconds) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, time.Duration(s).Seconds(), 'f', -1, 64), nil
}

// UnmarshalJSON takes a number of seconds; null is none. Less than a nanosecond would
// round to 0, which stands for the default.
func (s *seconds) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		return nil
	}
	n, err := strconv.ParseFloat(string(data), 64)
	if err != nil || math.Abs(n) >= math.MaxInt64/float64(time.Second) {
		return result.New(result.InvalidQuery, "not a number of seconds that can be counted with")
	}
	*s = seconds(math.Round(n * float64(time.Second)))
	if mantissa, _, _ := strings.Cut(strings.ToLower(string(data)), "e"); *s == 0 && strings.ContainsAny(mantissa, "123456789") {
		return result.New(result.InvalidQuery, "less than a nanosecond")
	}
	return nil
}

// dataJSON is Data as JSON has it.
type dataJSON struct {
	UserID      string          `json:"userId"`
	UserType    UserType        `json:"userType"`
	SessionData json.RawMessage `json:"sessionData"`
	TTL         seconds         `json:"ttlSeconds,omitzero"`
	IPAddress   string          `json:"ipAddress,omitempty"`
	UserAgent   string          `json:"userAgent,omitempty"`
}

// MarshalJSON gives the contract's names and units.
func (d Data) MarshalJSON() ([]byte, error) {
	return json.Marshal(dataJSON{d.UserID, d.UserType, d.SessionData, seconds(d.TTL), d.IPAddress, d.UserAgent})
}

// UnmarshalJSON refuses wrong, unknown and missing members by name.
func (d *Data) UnmarshalJSON(data []byte) error {
	var in dataJSON
	if err := result.DecodeStrict(data, &in, "userId", "userType", "sessionData"); err != nil {
		return err
	}
	*d = Data{in.UserID, in.UserType, in.SessionData, time.Duration(in.TTL), in.IPAddress, in.UserAgent}
	return nil
}

// patchJSON is Patch as JSON has it.
type patchJSON struct {
	SessionData json.RawMessage `json:"sessionData,omitempty"`
	ExtendTTL   seconds         `json:"extendTTL,omitzero"`
}

// MarshalJSON gives the contract's names and units.
func (p Patch) MarshalJSON() ([]byte, error) {
	return json.Marshal(patchJSON{p.SessionData, seconds(p.ExtendTTL)})
}

// UnmarshalJSON refuses wrong and unknown members by name.
func (p *Patch) UnmarshalJSON(data []byte) error {
	var in patchJSON
	if err := result.DecodeStrict(data, &in); err != nil {
		return err
	}
	*p = Patch{in.SessionData, time.Duration(in.ExtendTTL)}
	return nil
}

// UnmarshalJSON refuses wrong and unknown members by name.
func (f *Filters) UnmarshalJSON(data []byte) error {
	type plain Filters
	return result.DecodeStrict(data, (*plain)(f))
}

// MarshalJSON prints the time as JavaScript does.
func (c Created) MarshalJSON() ([]byte, error) {
	type plain Created
	return json.Marshal(struct {
		plain
		ExpiresAt result.Time `json:"expiresAt"`
	}{plain(c), result.Time(c.ExpiresAt)})
}

// MarshalJSON prints the time as JavaScript does.
func (v Validation) MarshalJSON() ([]byte, error) {
	type plain Validation
	return json.Marshal(struct {
		plain
		ExpiresAt result.Time `json:"expiresAt"`
	}{plain(v), result.Time(v.ExpiresAt)})
}

// MarshalJSON prints the time as JavaScript does.
func (u Updated) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		ExpiresAt result.Time `json:"expiresAt"`
	}{result.Time(u.ExpiresAt)})
}

// MarshalJSON prints times as JavaScript does.
func (s Session) MarshalJSON() ([]byte, error) {
	type plain Session
	return json.Marshal(struct {
		plain
		CreatedAt result.Time `json:"createdAt"`
		ExpiresAt result.Time `json:"expiresAt"`
	}{plain(s), result.Time(s.CreatedAt), result.Time(s.ExpiresAt)})
}

// Format prints "[redacted]" for every verb: it holds a secret.
func (Created) Format(s fmt.State, verb rune) { result.Hidden{}.Format(s, verb) }

// LogValue logs "[redacted]".
func (Created) LogValue() slog.Value { return result.Hidden{}.LogValue() }
