package legacy

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Sealer closes secrets: a [Cipher], or what knows that there are none.
type Sealer interface {
	Seal(platform, text string) (string, error)
}

// AccountEncoder writes an account as the service does.
type AccountEncoder struct {
	AccountRecord

	Sealer Sealer
	// Zone is the layout's fixed offset.
	Zone *time.Location

	fields map[string]string
	err    error
}

// Account gives all fields of a new account; those of Bedrock go to [PatchBedrock].
// Details come by the service's names, as what marshals to JSON.
func (e *AccountEncoder) Account() (map[string]string, error) {
	return e.encode(e.common, e.state, e.details, e.proxy, e.tokens, e.key, e.secrets)
}

// Credentials gives the fields of the parts that are wanted.
func (e *AccountEncoder) Credentials(tokens, key, secrets, proxy bool) (map[string]string, error) {
	var parts []func()
	for _, p := range []struct {
		wanted bool
		write  func()
	}{{tokens, e.tokens}, {key, e.key}, {secrets, e.secrets}, {proxy, e.proxy}} {
		if p.wanted {
			parts = append(parts, p.write)
		}
	}
	return e.encode(parts...)
}

func (e *AccountEncoder) encode(parts ...func()) (map[string]string, error) {
	e.fields, e.err = make(map[string]string), nil
	for _, write := range parts {
		write()
	}
	return e.fields, e.err
}

// TimeText prints a time as the service does; the zero time is "".
func TimeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}

// FlagText prints a switch.
func FlagText(on bool) string { return strconv.FormatBool(on) }

func (e *AccountEncoder) common() {
	f := e.fields
	f["id"], f["name"], f["description"] = e.ID, e.Name, e.Description
	f["accountType"], f["priority"] = e.AccountType, strconv.Itoa(e.Priority)
	f["isActive"], f["schedulable"] = FlagText(e.IsActive), FlagText(e.Schedulable)
	f["createdAt"], f["updatedAt"] = TimeText(e.CreatedAt), TimeText(e.UpdatedAt)
	f["subscriptionExpiresAt"] = ""
	if e.Platform == Bedrock {
		f["type"] = Bedrock
		return
	}
	f["platform"], f["status"], f["errorMessage"] = e.Platform, e.Status, e.ErrorMessage
	f["lastUsedAt"] = TimeText(e.LastUsedAt)
}

// state writes what the service counts and notes by itself, as of a new account.
func (e *AccountEncoder) state() {
	f, made := e.fields, TimeText(e.CreatedAt)
	switch e.Platform {
	case Claude, Gemini, Droid:
		f["lastRefreshAt"] = ""
	case OpenAI:
		f["lastRefresh"], f["rateLimitDuration"] = made, limitMinutes
	case ClaudeConsole, CCR, OpenAIResponses:
		f["dailyQuota"], f["dailyUsage"], f["quotaStoppedAt"] = "0", "0", ""
		f["lastResetDate"] = e.CreatedAt.In(e.Zone).Format(time.DateOnly)
	}
	switch e.Platform {
	case ClaudeConsole, CCR, OpenAIResponses, GeminiAPI:
		f["rateLimitDuration"], f["rateLimitedAt"], f["rateLimitStatus"] = limitMinutes, "", ""
	}
}

// limitMinutes is how long the service takes a limit to last whose end nobody has told.
const limitMinutes = "60"

func (e *AccountEncoder) details() {
	for name, value := range e.Details {
		raw, err := json.Marshal(value)
		if err != nil {
			e.err = err
			return
		}
		e.fields[name] = e.detail(name, raw)
	}
}

func (e *AccountEncoder) detail(name string, raw json.RawMessage) string {
	if name != "supportedModels" || e.Platform != Gemini {
		return TextOf(raw)
	}
	var models []string
	if json.Unmarshal(raw, &models) != nil || slices.ContainsFunc(models, func(m string) bool { return m == "" || strings.ContainsAny(m, ",[{") }) {
		return string(raw) // no names that commas could join
	}
	return strings.Join(models, ",")
}

func (e *AccountEncoder) proxy() {
	e.fields["proxy"] = ""
	if p := e.Proxy; p != nil {
		e.fields["proxy"] = e.document(struct {
			Type     string `json:"type"`
			Host     string `json:"host"`
			Port     int    `json:"port"`
			Username string `json:"username,omitempty"`
			Password string `json:"password,omitempty"`
		}{p.Type, p.Host, p.Port, p.Username, p.Password})
	}
}

func (e *AccountEncoder) document(v any) string {
	var doc bytes.Buffer
	enc := json.NewEncoder(&doc)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		e.err = err
	}
	return strings.TrimSuffix(doc.String(), "\n")
}

func (e *AccountEncoder) seal(field, text string) {
	closed, err := e.Sealer.Seal(e.Platform, text)
	if err != nil {
		e.err = err
	}
	e.fields[field] = closed
}

func (e *AccountEncoder) tokens() {
	e.seal("accessToken", e.AccessToken)
	e.seal("refreshToken", e.RefreshToken)
	e.fields["scopes"], e.fields["expiresAt"] = strings.Join(e.Scopes, " "), TimeText(e.ExpiresAt)
	if e.Platform == Claude && !e.ExpiresAt.IsZero() {
		e.fields["expiresAt"] = strconv.FormatInt(e.ExpiresAt.UnixMilli(), 10)
	}
	e.oauth()
}

// oauth brings the provider's answer, which the service keeps as a whole, to the
// tokens that are written. Its other members stay.
func (e *AccountEncoder) oauth() {
	answer := map[string]any{"accessToken": e.AccessToken, "refreshToken": e.RefreshToken}
	switch e.Platform {
	case Claude:
		answer["scopes"] = append([]string{}, e.Scopes...)
		e.answer("claudeAiOauth", answer, "expiresAt")
	case OpenAI:
		answer["idToken"] = e.IDToken
		e.answer("openaiOauth", answer, "")
	case Gemini:
		e.answer("geminiOauth", map[string]any{
			"access_token": e.AccessToken, "refresh_token": e.RefreshToken, "token_type": "Bearer", "scope": strings.Join(e.Scopes, " "),
		}, "expiry_date")
	}
}

func (e *AccountEncoder) answer(field string, now map[string]any, expiry string) {
	if e.AccessToken == "" && e.RefreshToken == "" {
		e.fields[field] = ""
		return
	}
	doc := map[string]any{}
	dec := json.NewDecoder(strings.NewReader(e.Rest[field]))
	dec.UseNumber()
	if dec.Decode(&doc) != nil || doc == nil {
		doc = map[string]any{}
	}
	for name, value := range now {
		doc[name] = value
	}
	if delete(doc, expiry); expiry != "" && !e.ExpiresAt.IsZero() {
		doc[expiry] = e.ExpiresAt.UnixMilli()
	}
	e.seal(field, e.document(doc))
}

func (e *AccountEncoder) key() { e.seal("apiKey", e.APIKey) }

// secrets writes those that the platform has a field for.
func (e *AccountEncoder) secrets() {
	e.seal("idToken", e.IDToken)
	switch e.Platform {
	case Claude:
		e.seal("email", e.Email)
		e.seal("password", e.Password)
	case OpenAI:
		e.seal("email", e.Email)
		e.seal("password", e.Password)
		e.oauth()
	case Bedrock:
		e.bedrock()
	case Droid:
		e.droidKeys()
	}
}

func (e *AccountEncoder) bedrock() {
	e.fields["awsCredentials"], e.fields["bearerToken"] = "", ""
	if e.AWS != nil {
		e.seal("awsCredentials", e.document(e.AWS))
	}
	if e.BearerToken != "" {
		e.seal("bearerToken", e.document(map[string]string{"token": e.BearerToken}))
	}
}

// droidKeys keeps what the service knows of the keys that stay.
func (e *AccountEncoder) droidKeys() {
	var known []map[string]any
	dec := json.NewDecoder(strings.NewReader(e.Rest["apiKeys"]))
	dec.UseNumber()
	_ = dec.Decode(&known) // what is damaged tells nothing of a key
	entries := make([]map[string]any, 0, len(e.APIKeys))
	for _, key := range e.APIKeys {
		sum := sha256.Sum256([]byte(key))
		hash := hex.EncodeToString(sum[:])
		at := slices.IndexFunc(known, func(k map[string]any) bool { return k["hash"] == hash })
		if at >= 0 {
			entries = append(entries, known[at])
			known[at] = nil // the same key twice is two entries
			continue
		}
		closed, err := e.Sealer.Seal(e.Platform, key)
		if err != nil {
			e.err = err
		}
		entries = append(entries, map[string]any{
			"id": uuid.NewString(), "hash": hash, "encryptedKey": closed, "createdAt": TimeText(e.UpdatedAt), "lastUsedAt": "",
			"usageCount": "0", "status": "active", "errorMessage": "",
		})
	}
	e.fields["apiKeys"], e.fields["apiKeyCount"] = e.document(entries), strconv.Itoa(len(entries))
}

// PatchBedrock brings fields into a Bedrock account's document, in the types that it
// has there; "" is a new one. Its other members stay as they are.
func PatchBedrock(doc string, fields map[string]string) (string, error) {
	members := make(map[string]json.RawMessage, len(fields))
	if doc != "" {
		if err := json.Unmarshal([]byte(doc), &members); err != nil {
			return "", errors.New("not a JSON object")
		}
	}
	for name, text := range fields {
		members[name] = bedrockValue(name, text)
	}
	e := AccountEncoder{}
	next := e.document(members)
	return next, e.err
}

func bedrockValue(name, text string) json.RawMessage {
	native := name == "isActive" || name == "schedulable" || name == "priority" ||
		slices.Contains(flagDetails, name) || slices.Contains(countDetails, name)
	document := text != "" && (text[0] == '{' || text[0] == '[') && (slices.Contains(documentDetails, name) || slices.Contains(bedrockSecrets, name))
	switch {
	case name == "subscriptionExpiresAt" && text == "":
		return json.RawMessage("null")
	case (native || document) && json.Valid([]byte(text)):
		return json.RawMessage(text)
	}
	e := AccountEncoder{}
	return json.RawMessage(e.document(text))
}

// bedrockSecrets are objects where they are sealed.
var bedrockSecrets = []string{"awsCredentials", "bearerToken", "accessToken", "refreshToken", "apiKey", "idToken"}
