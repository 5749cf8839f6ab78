package accounts

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/internal/legacy"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// Fields of our own in an account of the legacy layout, for what it has no place for.
// The service passes over them.
const (
	ownTokensRemaining = "relaystoreTokensRemaining" // as in StatusMetadata
	ownStatusAt        = "relaystoreStatusAt"        // when the status was set, as accounts.status_at in PostgreSQL
	ownExtra           = "relaystoreExtra"           // members of details.extra that are no texts
	ownSecrets         = "relaystoreSecrets"         // sealed: those that the platform has no field for
	ownCreatedAt       = "relaystoreCreatedAt"       // createdAt to the microsecond: lists are in its order
)

// stateFields are what the service counts and notes by itself, which is no detail.
var stateFields = []string{
	ownTokensRemaining, ownStatusAt, ownExtra, ownSecrets, ownCreatedAt,
	"rateLimitedAt", "rateLimitAutoStopped", "rateLimitDuration", "dailyUsage", "lastResetDate", "quotaStoppedAt",
	"lastRefreshAt", "lastRefresh", "apiKeyCount", "expiresIn",
}

// layoutFields are those that an extra member must not take the place of.
var layoutFields = append([]string{
	"id", "type", "platform", "name", "description", "accountType", "isActive", "schedulable", "status", "errorMessage", "priority",
	"createdAt", "updatedAt", "lastUsedAt", "expiresAt", "scopes", "proxy", "rateLimitStatus", "rateLimitEndAt", "rateLimitResetAt",
	"accessToken", "refreshToken", "apiKey", "idToken", "email", "password", "awsCredentials", "bearerToken", "apiKeys",
	"claudeAiOauth", "geminiOauth", "openaiOauth",
}, append(stateFields, detailFields...)...)

// detailFields are the members of Details, by their names.
var detailFields = func() []string {
	t := reflect.TypeFor[Details]()
	names := make([]string, 0, t.NumField())
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		names = append(names, name)
	}
	return names
}()

// noWords are texts that the layout cannot tell from nothing: what JavaScript prints
// of values that are not there.
var noWords = []string{"", "undefined", "null", "NaN", "[object Object]"}

// legacyDetails are details as the layout has them: each a field, and what is no text
// and no field of the service's in ownExtra.
func (d *Details) legacyDetails() (map[string]any, error) {
	members := make(map[string]json.RawMessage)
	if err := json.Unmarshal(d.stored(), &members); err != nil {
		return nil, err
	}
	var extra map[string]json.RawMessage
	_ = json.Unmarshal(members["extra"], &extra) // normalise has checked it
	delete(members, "extra")
	fields := make(map[string]any, len(members)+len(extra))
	for name, value := range members {
		if text, is := asText(value); is && slices.Contains(noWords, text) {
			return nil, result.Invalid("details."+name, "accounts in Redis cannot keep this word")
		}
		fields[name] = value
	}
	for name, value := range extra {
		if text, is := asText(value); is && !slices.Contains(noWords, text) && !slices.Contains(layoutFields, name) {
			fields[name] = text
			delete(extra, name)
		}
	}
	if len(extra) > 0 {
		doc, err := json.Marshal(extra)
		if err != nil {
			return nil, err
		}
		fields[ownExtra] = string(doc)
	}
	return fields, nil
}

func asText(value json.RawMessage) (text string, is bool) {
	return text, len(value) > 0 && value[0] == '"' && json.Unmarshal(value, &text) == nil
}

// details undoes legacyDetails. Fields that are not known are extra.
func (f *found) details(rec *legacy.AccountRecord) Details {
	known, extra := make(map[string]any), make(map[string]any)
	_ = json.Unmarshal([]byte(f.fields[ownExtra]), &extra) // changed by hand: what can be read counts
	for name, value := range rec.Details {
		switch {
		case slices.Contains(stateFields, name):
		case name == "supportedModels" && isEmptyDocument(value):
		case slices.Contains(detailFields, name):
			known[name] = value
		default:
			extra[name] = value
		}
	}
	if len(extra) > 0 {
		known["extra"] = extra
	}
	doc, err := json.Marshal(known)
	if err != nil { // every value came from JSON, or is text
		panic(err)
	}
	var d Details
	if json.Unmarshal(doc, &d) != nil {
		return Details{Extra: doc}
	}
	return d
}

// isEmptyDocument tells the service's empty list of models, which is all, as no list is.
func isEmptyDocument(value any) bool {
	raw, _ := value.(json.RawMessage)
	return bytes.Equal(raw, []byte("[]")) || bytes.Equal(raw, []byte("{}"))
}

// closed opens nothing: what is shown of an account has no secret.
type closed struct{}

// Open gives nothing.
func (closed) Open(string, string) (string, error) { return "", nil }

// opener notes that a secret does not open.
type opener struct {
	cipher *legacy.Cipher
	failed error
}

// Open is the cipher's.
func (o *opener) Open(platform, text string) (string, error) {
	switch {
	case text == "":
		return "", nil
	case o.cipher == nil:
		o.failed = errNoLegacyKey
		return "", errNoLegacyKey
	}
	opened, err := o.cipher.Open(platform, text)
	if err != nil && !errors.Is(err, legacy.ErrNotSealed) && o.failed == nil {
		o.failed = result.New(result.Internal, "a secret does not open with RELAYSTORE_LEGACY_ENCRYPTION_KEY")
	}
	return opened, err
}

// record reads an account with its secrets closed.
func (f *found) record() legacy.AccountRecord { return f.decode(closed{}) }

// decode keeps names as they are: the service's decoder takes some for nothing.
func (f *found) decode(o legacy.Opener) legacy.AccountRecord {
	rec := legacy.DecodeAccount(f.place.Platform, f.id.String(), f.fields, o)
	rec.Name, rec.Description, rec.ErrorMessage = f.fields["name"], f.fields["description"], f.fields["errorMessage"]
	if t, err := time.Parse(time.RFC3339Nano, f.fields[ownCreatedAt]); err == nil && t.Truncate(time.Millisecond).Equal(rec.CreatedAt) {
		rec.CreatedAt = t.UTC() // else somebody has changed it since
	}
	if rec.AccountType == "" {
		rec.AccountType = accountTypes[0]
	}
	if rec.Priority < 1 || rec.Priority > maxPriority {
		rec.Priority = midPriority
	}
	return rec
}

// openRecord reads an account with its secrets.
func (l *legacyAccounts) openRecord(f *found) (rec legacy.AccountRecord, s Secrets, err error) {
	o := &opener{cipher: l.legacy.cipher}
	rec = f.decode(o)
	own, err := o.Open(f.place.Platform, f.fields[ownSecrets])
	if err == nil {
		s = parseSecrets(own)
	}
	s.take(&rec)
	return rec, s, o.failed
}

// take brings what the platform has fields for to what it has none for.
func (s *Secrets) take(rec *legacy.AccountRecord) {
	s.IDToken = rec.IDToken
	switch rec.Platform {
	case Claude, OpenAI:
		s.Email, s.Password = rec.Email, rec.Password
	case Bedrock:
		s.BearerToken, s.AWS = rec.BearerToken, nil
		if a := rec.AWS; a != nil {
			s.AWS = &AWSCredentials{AccessKeyID: a.AccessKeyID, SecretAccessKey: a.SecretAccessKey, SessionToken: a.SessionToken}
		}
	case Droid:
		s.APIKeys = rec.APIKeys
	}
}

// give is the way back; what is left is for ownSecrets.
func (s Secrets) give(rec *legacy.AccountRecord) (left Secrets) {
	rec.IDToken, s.IDToken = s.IDToken, ""
	switch rec.Platform {
	case Claude, OpenAI:
		rec.Email, rec.Password = s.Email, s.Password
		s.Email, s.Password = "", ""
	case Bedrock:
		if rec.AWS = nil; s.AWS != nil {
			rec.AWS = &legacy.AWSCredentials{AccessKeyID: s.AWS.AccessKeyID, SecretAccessKey: s.AWS.SecretAccessKey, SessionToken: s.AWS.SessionToken}
		}
		rec.BearerToken, s.BearerToken, s.AWS = s.BearerToken, "", nil
	case Droid:
		rec.APIKeys, s.APIKeys = s.APIKeys, nil
	}
	return s
}

// The service's words for an account that needs its owner.
var errorWords = []string{"error", "unauthorized", "blocked", "expired", "temp_error"}

// status gives our word for the account's state. One of the service's that is not known
// keeps the account from being used.
func status(rec *legacy.AccountRecord) string {
	switch word := rec.Status; {
	case !rec.IsActive:
		return Inactive
	case slices.Contains(errorWords, word):
		return InError
	case rec.RateLimited || word == "quota_exceeded":
		return RateLimited
	case slices.Contains([]string{"", "active", "created"}, word):
		return Active
	}
	return InError
}

// resetAt is when the provider's limit ends: as somebody has told, else as the service
// reckons, from its beginning; the zero time is unknown.
func (f *found) resetAt(rec *legacy.AccountRecord) time.Time {
	if !rec.RateLimitResetAt.IsZero() {
		return rec.RateLimitResetAt
	}
	began, ok := legacy.ParseTime(f.fields["rateLimitedAt"])
	if !ok || !rec.RateLimited {
		return time.Time{}
	}
	minutes, err := strconv.Atoi(f.fields["rateLimitDuration"])
	if err != nil || minutes <= 0 {
		minutes = 60
	}
	return began.Add(time.Duration(minutes) * time.Minute)
}

// schedulable passes over the pause that a limit has set.
func (f *found) schedulable(rec *legacy.AccountRecord) bool {
	return rec.Schedulable || f.fields["rateLimitAutoStopped"] == "true"
}

func (f *found) tokensRemaining() *int64 {
	n, err := strconv.ParseInt(f.fields[ownTokensRemaining], 10, 64)
	if err != nil {
		return nil
	}
	return &n
}

// statusAt is when the status was last set, as far as that is known.
func (f *found) statusAt() *time.Time {
	t, err := time.Parse(time.RFC3339Nano, f.fields[ownStatusAt])
	if err != nil {
		return nil
	}
	return &t
}

// row is what PostgreSQL would give.
func (f *found) row() db.AccountGetRow {
	rec := f.record()
	row := db.AccountGetRow{
		ID: f.id, Platform: rec.Platform, Name: rec.Name, Description: rec.Description, AccountType: rec.AccountType,
		Priority: int16(rec.Priority), Schedulable: f.schedulable(&rec), //nolint:gosec // decode bounds it
		Status: status(&rec), ErrorMessage: rec.ErrorMessage,
		RateLimitResetAt: nullable(f.resetAt(&rec)), TokensRemaining: f.tokensRemaining(), LastUsedAt: nullable(rec.LastUsedAt),
		Scopes: list(rec.Scopes), TokenExpiresAt: nullable(rec.ExpiresAt), CreatedAt: rec.CreatedAt, UpdatedAt: rec.UpdatedAt,
	}
	if row.UpdatedAt.IsZero() {
		row.UpdatedAt = rec.CreatedAt
	}
	if row.Status == InError && row.ErrorMessage == "" && rec.Status != InError {
		row.ErrorMessage = rec.Status
	}
	if p := rec.Proxy; p != nil {
		row.ProxyType, row.ProxyHost, row.ProxyPort, row.ProxyUsername = p.Type, p.Host, int32(p.Port), p.Username //nolint:gosec // a port
	}
	row.Details = f.details(&rec).stored()
	return row
}

// credentials are those of GetCredentials.
func (l *legacyAccounts) credentials(f *found) (Credentials, error) {
	rec, s, err := l.openRecord(f)
	if err != nil {
		return Credentials{}, err
	}
	word := status(&rec)
	c := Credentials{
		AccountID: rec.ID, Platform: rec.Platform, IsActive: word != Inactive && word != InError,
		AccessToken: rec.AccessToken, RefreshToken: rec.RefreshToken, APIKey: rec.APIKey, Secrets: s,
		Scopes: rec.Scopes, ExpiresAt: rec.ExpiresAt,
	}
	if p := rec.Proxy; p != nil {
		c.ProxyConfig = &ProxyConfig{Type: p.Type, Host: p.Host, Port: p.Port, Username: p.Username, Password: p.Password}
	}
	return c, nil
}

func (l *legacyAccounts) get(ctx context.Context, id uuid.UUID) (Credentials, error) {
	f, err := l.find(ctx, id)
	if err != nil {
		return Credentials{}, err
	}
	return l.credentials(f)
}

func (l *legacyAccounts) row(ctx context.Context, id uuid.UUID) (row db.AccountGetRow, err error) {
	f, err := l.find(ctx, id)
	if err != nil {
		return row, err
	}
	return f.row(), nil
}
