package legacy

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// AccountRecord is an upstream account with its secrets open.
type AccountRecord struct {
	Platform, ID      string
	Name, Description string
	AccountType       string // shared, dedicated or group
	Priority          int
	IsActive          bool
	Schedulable       bool
	// Status is the service's word, "" where the platform has none.
	Status, ErrorMessage             string
	CreatedAt, UpdatedAt, LastUsedAt time.Time
	// RateLimited tells that a limit was met, RateLimitResetAt when it ends.
	RateLimited      bool
	RateLimitResetAt time.Time

	AccessToken, RefreshToken, APIKey string
	Scopes                            []string
	ExpiresAt                         time.Time
	IDToken, Email, Password          string
	AWS                               *AWSCredentials
	BearerToken                       string
	APIKeys                           []string // Droid's
	Proxy                             *Proxy

	// Details are the platform's own settings under the service's names, with native
	// types; what has no type here is text.
	Details map[string]any
	// Rest are secret documents that have no field here, open, by name: the OAuth
	// answers, and what the service knows of Droid's keys.
	Rest map[string]string
	// Faults are the fields that could not be taken as they were.
	Faults []Fault
}

// AWSCredentials are Bedrock's.
type AWSCredentials struct {
	AccessKeyID     string `json:"accessKeyId"`
	SecretAccessKey string `json:"secretAccessKey"`
	SessionToken    string `json:"sessionToken,omitempty"`
}

// Proxy is how an account reaches its provider. The service stores it open.
type Proxy struct {
	Type, Host         string
	Port               int
	Username, Password string
}

// Fault tells what is wrong with a field; never what it holds.
type Fault struct{ Field, Reason string }

// Opener opens secrets: a [Cipher], or what knows that they are plain.
type Opener interface {
	Open(platform, text string) (string, error)
}

// DecodeAccount reads an account's hash, or what [BedrockFields] made of a document.
// What is damaged is left out and told in Faults.
func DecodeAccount(platform, id string, fields map[string]string, opener Opener) AccountRecord {
	d := accountDecoder{fields: maps.Clone(fields), opener: opener}
	d.a = AccountRecord{Platform: platform, ID: id, Details: make(map[string]any), Rest: make(map[string]string)}
	d.common()
	d.secrets()
	d.proxy()
	d.limits()
	d.details()
	return d.a
}

// BedrockFields gives a Bedrock account's document as fields.
func BedrockFields(doc string) (map[string]string, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal([]byte(doc), &members); err != nil {
		return nil, errors.New("not a JSON object")
	}
	fields := make(map[string]string, len(members))
	for name, raw := range members {
		fields[name] = TextOf(raw)
	}
	return fields, nil
}

// TextOf gives a JSON value as a hash would hold it.
func TextOf(raw json.RawMessage) string {
	var text string
	switch {
	case len(raw) == 0 || string(raw) == "null":
		return ""
	case json.Unmarshal(raw, &text) == nil:
		return text
	}
	return string(raw)
}

// accountDecoder takes fields away as it reads them; what is left is details.
type accountDecoder struct {
	a      AccountRecord
	fields map[string]string
	opener Opener
}

// noText are what JavaScript makes of values that are not there, or no texts.
var noText = []string{"undefined", "null", "NaN", "[object Object]"}

// take gives a field's text, once; of a text that means nothing it gives none.
func (d *accountDecoder) take(name string) string {
	text := d.fields[name]
	delete(d.fields, name)
	if slices.Contains(noText, text) {
		if text == "[object Object]" {
			d.fault(name, "holds no value: the service lost it when it wrote")
		}
		return ""
	}
	return text
}

func (d *accountDecoder) fault(field, reason string) {
	d.a.Faults = append(d.a.Faults, Fault{field, reason})
}

func (d *accountDecoder) common() {
	a := &d.a
	d.take("id") // the key's name counts
	d.take("platform")
	if a.Platform == Bedrock {
		d.take("type")
	}
	a.Name, a.Description = d.take("name"), d.take("description")
	a.AccountType = d.take("accountType")
	a.IsActive = d.flag("isActive", true)
	a.Schedulable = d.flag("schedulable", true)
	a.Status, a.ErrorMessage = d.take("status"), d.take("errorMessage")
	a.CreatedAt, a.UpdatedAt, a.LastUsedAt = d.when("createdAt"), d.when("updatedAt"), d.when("lastUsedAt")
	a.ExpiresAt = d.when("expiresAt")
	a.Scopes = strings.Fields(d.take("scopes"))
	if text := d.take("priority"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			d.fault("priority", "not a whole number")
		}
		a.Priority = n
	}
}

func (d *accountDecoder) flag(name string, absent bool) bool {
	switch text := d.take(name); text {
	case "":
		return absent
	case "true", "1":
		return true
	case "false", "0":
		return false
	default:
		d.fault(name, "neither true nor false")
		return absent
	}
}

func (d *accountDecoder) when(name string) time.Time {
	text := d.take(name)
	if text == "" {
		return time.Time{}
	}
	t, ok := ParseTime(text)
	if !ok {
		d.fault(name, "not a time")
	}
	return t
}
