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

// ParseTime reads a time as the service writes it: ISO-8601, or milliseconds since
// 1970. Times before 1970 and after 9999 are none.
func ParseTime(text string) (time.Time, bool) {
	var t time.Time
	if ms, err := strconv.ParseInt(text, 10, 64); err == nil {
		t = time.UnixMilli(ms).UTC()
	} else if t, err = time.Parse(time.RFC3339Nano, text); err != nil {
		return time.Time{}, false
	}
	if t.Year() < 1970 || t.Year() > 9999 {
		return time.Time{}, false
	}
	return t.UTC(), true
}

func (d *accountDecoder) secrets() {
	a := &d.a
	a.AccessToken, a.RefreshToken = d.open("accessToken"), d.open("refreshToken")
	a.APIKey, a.IDToken = d.open("apiKey"), d.open("idToken")
	if a.Platform == Claude || a.Platform == OpenAI {
		a.Email, a.Password = d.open("email"), d.open("password")
	}
	if a.Platform == Bedrock {
		d.bedrock()
	}
	if a.Platform == Droid {
		d.droidKeys()
	}
	for _, name := range []string{"claudeAiOauth", "geminiOauth", "openaiOauth"} {
		if doc := d.open(name); doc != "" {
			a.Rest[name] = doc
			d.fillTokens(name, doc)
		}
	}
}

// open takes a secret. One that is not sealed is what the service uses as it stands.
func (d *accountDecoder) open(name string) string {
	text := d.take(name)
	opened, err := d.opener.Open(d.a.Platform, text)
	switch {
	case errors.Is(err, ErrNotSealed):
		d.fault(name, "was not sealed; taken as it stands")
		return text
	case err != nil:
		d.fault(name, err.Error())
	}
	return opened
}

// fillTokens takes from the OAuth answer what the record does not have by itself.
func (d *accountDecoder) fillTokens(name, doc string) {
	var o struct {
		AccessToken   string `json:"accessToken"`
		RefreshToken  string `json:"refreshToken"`
		AccessToken2  string `json:"access_token"`
		RefreshToken2 string `json:"refresh_token"`
	}
	if json.Unmarshal([]byte(doc), &o) != nil {
		d.fault(name, "not the document that it should be")
		return
	}
	fill := func(into *string, texts ...string) {
		for _, text := range texts {
			if *into == "" {
				*into = text
			}
		}
	}
	fill(&d.a.AccessToken, o.AccessToken, o.AccessToken2)
	fill(&d.a.RefreshToken, o.RefreshToken, o.RefreshToken2)
}

// bedrock opens the two documents that Bedrock has for secrets; the service takes
// open ones as well.
func (d *accountDecoder) bedrock() {
	document := func(name string, into any) {
		doc := d.take(name)
		if doc == "" {
			return
		}
		opened, err := d.opener.Open(Bedrock, doc)
		if errors.Is(err, ErrNotSealed) {
			opened, err = doc, nil
		}
		if err == nil && json.Unmarshal([]byte(opened), into) != nil {
			err = ErrUnopened
		}
		if err != nil {
			d.fault(name, err.Error())
		}
	}
	var aws AWSCredentials
	if document("awsCredentials", &aws); aws.AccessKeyID != "" && aws.SecretAccessKey != "" {
		d.a.AWS = &aws
	}
	var bearer struct {
		Token string `json:"token"`
	}
	document("bearerToken", &bearer)
	d.a.BearerToken = bearer.Token
}

func (d *accountDecoder) droidKeys() {
	doc := d.take("apiKeys")
	if doc == "" {
		return
	}
	var entries []struct {
		EncryptedKey string `json:"encryptedKey"`
	}
	if json.Unmarshal([]byte(doc), &entries) != nil {
		d.fault("apiKeys", "not a JSON array of keys")
		return
	}
	d.a.Rest["apiKeys"] = doc
	for _, e := range entries {
		key, err := d.opener.Open(Droid, e.EncryptedKey)
		switch {
		case errors.Is(err, ErrNotSealed):
			key = e.EncryptedKey
		case err != nil:
			d.fault("apiKeys", err.Error())
		}
		if key != "" {
			d.a.APIKeys = append(d.a.APIKeys, key)
		}
	}
}

// proxy reads the proxy's document, which may be a JSON text of a JSON text.
func (d *accountDecoder) proxy() {
	doc := d.take("proxy")
	var inner string
	if json.Unmarshal([]byte(doc), &inner) == nil {
		doc = inner
	}
	if doc == "" {
		return
	}
	var p struct {
		Type     string          `json:"type"`
		Protocol string          `json:"protocol"`
		Host     string          `json:"host"`
		Port     json.RawMessage `json:"port"`
		Username string          `json:"username"`
		Password string          `json:"password"`
	}
	if json.Unmarshal([]byte(doc), &p) != nil {
		d.fault("proxy", "not a JSON object")
		return
	}
	port, err := strconv.Atoi(TextOf(p.Port))
	if err != nil || p.Host == "" {
		d.fault("proxy", "without a host or a port")
		return
	}
	if p.Type == "" {
		p.Type = p.Protocol
	}
	d.a.Proxy = &Proxy{Type: p.Type, Host: p.Host, Port: port, Username: p.Username, Password: p.Password}
}

// limits reads what the service knows of the provider's limit. An object in
// rateLimitStatus is what a later version writes.
func (d *accountDecoder) limits() {
	limited := d.take("rateLimitStatus")
	for _, name := range []string{"rateLimitEndAt", "rateLimitResetAt"} {
		if t := d.when(name); !t.IsZero() && d.a.RateLimitResetAt.IsZero() {
			d.a.RateLimitResetAt = t
		}
	}
	d.a.RateLimited = limited == "limited" || d.a.Status == "rate_limited"
}

// Types of details; those that are not named are text.
var (
	flagDetails = []string{
		"disableAutoProtection", "interceptWarmup", "autoStopOnWarning", "useUnifiedUserAgent", "useUnifiedClientId",
		"disableTempUnavailable", "emailVerified",
	}
	countDetails    = []string{"maxConcurrency", "maxConcurrentTasks", "tempUnavailable503TtlSeconds", "tempUnavailable5xxTtlSeconds"}
	amountDetails   = []string{"dailyQuota"}
	documentDetails = []string{"supportedModels", "subscriptionInfo", "extInfo"}
)

func (d *accountDecoder) details() {
	for _, name := range flagDetails {
		if d.flag(name, false) {
			d.a.Details[name] = true
		}
	}
	d.numbers()
	d.documents()
	if t := d.when("subscriptionExpiresAt"); !t.IsZero() {
		d.a.Details["subscriptionExpiresAt"] = t
	}
	for _, name := range slices.Sorted(maps.Keys(d.fields)) {
		if text := d.take(name); text != "" {
			d.a.Details[name] = text
		}
	}
}

func (d *accountDecoder) numbers() {
	for _, name := range countDetails {
		text := d.take(name)
		if n, ok := parseCount(text); ok {
			d.a.Details[name] = n
		} else if text != "" {
			d.fault(name, "not a count")
		}
	}
	for _, name := range amountDetails {
		text := d.take(name)
		if amount, ok := ParseAmount(text); ok {
			d.a.Details[name] = json.Number(amount.String())
		} else if text != "" {
			d.fault(name, "not an amount")
		}
	}
}

// documents reads JSON. Gemini's models are no JSON but names joined by commas.
func (d *accountDecoder) documents() {
	for _, name := range documentDetails {
		text := d.take(name)
		switch {
		case text == "":
		case json.Valid([]byte(text)) && strings.ContainsAny(text[:1], "[{"):
			d.a.Details[name] = json.RawMessage(text)
		case name == "supportedModels" && d.a.Platform == Gemini:
			d.a.Details[name] = strings.Split(text, ",")
		default:
			d.fault(name, "not a JSON document")
		}
	}
}
