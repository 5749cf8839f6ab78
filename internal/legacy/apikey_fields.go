package legacy

import (
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/shopspring/decimal"
)

// keyField is one field of a key's hash, both ways.
type keyField struct {
	name string
	// read takes the field's text, "" where there is none; false is a fault.
	read  func(k *Key, text string) bool
	write func(k *Key) string
	// optional fields are written where they are not empty.
	optional bool
}

// keyFields are in the service's order (v1.1.314, apiKeyService.js). The hashes, which
// hang together, are not among them.
var keyFields = []keyField{
	plainText(FieldID, func(k *Key) *string { return &k.ID }),
	named(FieldName, "Unnamed Key", func(k *Key) *string { return &k.Name }),
	plainText("description", func(k *Key) *string { return &k.Description }),
	count("tokenLimit", 0, func(k *Key) *int64 { return &k.TokenLimit }),
	count("concurrencyLimit", 0, func(k *Key) *int64 { return &k.ConcurrencyLimit }),
	count("rateLimitWindow", 0, func(k *Key) *int64 { return &k.RateLimitWindow }),
	count("rateLimitRequests", 0, func(k *Key) *int64 { return &k.RateLimitRequests }),
	amount("rateLimitCost", func(k *Key) *decimal.Decimal { return &k.RateLimitCost }),
	flag(FieldIsActive, false, func(k *Key) *bool { return &k.IsActive }),
	word("claudeAccountId", func(k *Key) *string { return &k.ClaudeAccountID }),
	word("claudeConsoleAccountId", func(k *Key) *string { return &k.ClaudeConsoleAccountID }),
	word("geminiAccountId", func(k *Key) *string { return &k.GeminiAccountID }),
	word("openaiAccountId", func(k *Key) *string { return &k.OpenAIAccountID }),
	word("azureOpenaiAccountId", func(k *Key) *string { return &k.AzureOpenAIAccountID }),
	word("bedrockAccountId", func(k *Key) *string { return &k.BedrockAccountID }),
	word("droidAccountId", func(k *Key) *string { return &k.DroidAccountID }),
	optional(word("ccrAccountId", func(k *Key) *string { return &k.CCRAccountID })),
	{name: "permissions", read: readPermissions, write: func(k *Key) string { return list(k.Permissions) }},
	flag("enableModelRestriction", false, func(k *Key) *bool { return &k.EnableModelRestriction }),
	texts("restrictedModels", func(k *Key) *[]string { return &k.RestrictedModels }),
	flag("enableClientRestriction", false, func(k *Key) *bool { return &k.EnableClientRestriction }),
	texts("allowedClients", func(k *Key) *[]string { return &k.AllowedClients }),
	amount("dailyCostLimit", func(k *Key) *decimal.Decimal { return &k.DailyCostLimit }),
	amount("totalCostLimit", func(k *Key) *decimal.Decimal { return &k.TotalCostLimit }),
	amount("weeklyOpusCostLimit", func(k *Key) *decimal.Decimal { return &k.WeeklyOpusCostLimit }),
	texts(FieldTags, func(k *Key) *[]string { return &k.Tags }),
	count("activationDays", 0, func(k *Key) *int64 { return &k.ActivationDays }),
	oneOf("activationUnit", []string{Days, Hours}, func(k *Key) *string { return &k.ActivationUnit }),
	oneOf("expirationMode", []string{Fixed, Activation}, func(k *Key) *string { return &k.ExpirationMode }),
	flag("isActivated", false, func(k *Key) *bool { return &k.IsActivated }),
	moment("activatedAt", func(k *Key) *time.Time { return &k.ActivatedAt }),
	moment("createdAt", func(k *Key) *time.Time { return &k.CreatedAt }),
	moment(FieldLastUsedAt, func(k *Key) *time.Time { return &k.LastUsedAt }),
	moment("expiresAt", func(k *Key) *time.Time { return &k.ExpiresAt }),
	plainText("createdBy", func(k *Key) *string { return &k.CreatedBy }),
	word("userId", func(k *Key) *string { return &k.UserID }),
	plainText("userUsername", func(k *Key) *string { return &k.UserUsername }),
	plainText("icon", func(k *Key) *string { return &k.Icon }),
	{name: "serviceRates", read: readRates, write: writeRates},
	count("weeklyResetDay", 1, func(k *Key) *int64 { return &k.WeeklyResetDay }),
	count("weeklyResetHour", 0, func(k *Key) *int64 { return &k.WeeklyResetHour }),
	flag("enableOpenAIResponsesCodexAdaptation", true, func(k *Key) *bool { return &k.EnableOpenAIResponsesCodexAdaptation }),
	flag("enableOpenAIResponsesPayloadRules", false, func(k *Key) *bool { return &k.EnableOpenAIResponsesPayloadRules }),
	{name: "openaiResponsesPayloadRules", read: readRules, write: func(k *Key) string { return cmp.Or(string(k.OpenAIResponsesPayloadRules), "[]") }},
	optional(moment(FieldUpdatedAt, func(k *Key) *time.Time { return &k.UpdatedAt })),
	deletion(),
	optional(moment("deletedAt", func(k *Key) *time.Time { return &k.DeletedAt })),
	{name: fieldCreated, read: readCreated, write: writeCreated, optional: true}, // after createdAt
	{name: fieldMore, read: readMore, write: func(k *Key) string { return string(k.More) }, optional: true},
}

// isKeyField tells which fields have a place in Key.
var isKeyField = func() map[string]bool {
	names := map[string]bool{FieldHash: true, FieldNativeHash: true}
	for _, f := range keyFields {
		names[f.name] = true
	}
	return names
}()

func optional(f keyField) keyField {
	f.optional = true
	return f
}

// absent tells of what old versions wrote for nothing.
func absent(text string) bool { return text == "" || text == "null" || text == "undefined" }

// plainText is what people have written: "null" may be a name.
func plainText(name string, at func(*Key) *string) keyField {
	return keyField{
		name: name,
		read: func(k *Key, text string) bool {
			*at(k) = clean(text)
			return *at(k) == text
		},
		write: func(k *Key) string { return *at(k) },
	}
}

// clean takes out what PostgreSQL and JSON cannot hold.
func clean(text string) string {
	if utf8.ValidString(text) && strings.IndexByte(text, 0) < 0 {
		return text
	}
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "")
}

func named(name, unnamed string, at func(*Key) *string) keyField {
	f := plainText(name, at)
	read := f.read
	f.read = func(k *Key, text string) bool { return read(k, cmp.Or(text, unnamed)) }
	return f
}

// word is a text that programs write.
func word(name string, at func(*Key) *string) keyField {
	f := plainText(name, at)
	read := f.read
	f.read = func(k *Key, text string) bool {
		if absent(text) {
			text = ""
		}
		return read(k, text)
	}
	return f
}

// oneOf is one of a few words, of which the first is the default.
func oneOf(name string, words []string, at func(*Key) *string) keyField {
	return keyField{
		name: name,
		read: func(k *Key, text string) bool {
			known := slices.Contains(words, text)
			if !known {
				*at(k) = words[0]
				return absent(text)
			}
			*at(k) = text
			return true
		},
		write: func(k *Key) string { return *at(k) },
	}
}

func count(name string, def int64, at func(*Key) *int64) keyField {
	return keyField{
		name: name,
		read: func(k *Key, text string) bool {
			*at(k) = def
			if absent(text) {
				return true
			}
			n, ok := parseCount(text)
			if ok {
				*at(k) = n
			}
			return ok
		},
		write: func(k *Key) string { return strconv.FormatInt(*at(k), 10) },
	}
}

func amount(name string, at func(*Key) *decimal.Decimal) keyField {
	return keyField{
		name: name,
		read: func(k *Key, text string) bool {
			if absent(text) {
				return true
			}
			d, ok := ParseAmount(text)
			if ok {
				*at(k) = d
			}
			return ok
		},
		write: func(k *Key) string { return at(k).String() },
	}
}

func flag(name string, def bool, at func(*Key) *bool) keyField {
	return keyField{
		name: name,
		read: func(k *Key, text string) bool {
			*at(k) = text == "true" || def && absent(text)
			return text == "true" || text == "false" || absent(text)
		},
		write: func(k *Key) string { return strconv.FormatBool(*at(k)) },
	}
}

// deletion is a flag that only deleted keys have.
func deletion() keyField {
	f := optional(flag(FieldIsDeleted, false, func(k *Key) *bool { return &k.IsDeleted }))
	f.write = func(k *Key) string {
		if k.IsDeleted {
			return "true"
		}
		return ""
	}
	return f
}

// TimeLayout is how JavaScript prints a time, always in UTC.
const TimeLayout = "2006-01-02T15:04:05.000Z"

func moment(name string, at func(*Key) *time.Time) keyField {
	return keyField{
		name: name,
		read: func(k *Key, text string) bool {
			if absent(text) {
				return true
			}
			t, ok := ParseTime(text)
			if ok {
				*at(k) = t.Truncate(time.Millisecond)
			}
			return ok
		},
		write: func(k *Key) string { return FormatTime(*at(k)) },
	}
}

// FormatTime gives "" for the zero time.
func FormatTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(TimeLayout)
}

const microLayout = "2006-01-02T15:04:05.000000Z"

// readCreated takes what says the same as createdAt.
func readCreated(k *Key, text string) bool {
	if t, err := time.Parse(microLayout, text); err == nil && t.Truncate(time.Millisecond).Equal(k.CreatedAt) {
		k.CreatedAt = t
	}
	return true
}

func writeCreated(k *Key) string {
	if k.CreatedAt.Equal(k.CreatedAt.Truncate(time.Millisecond)) {
		return ""
	}
	return k.CreatedAt.UTC().Format(microLayout)
}

func texts(name string, at func(*Key) *[]string) keyField {
	return keyField{
		name: name,
		read: func(k *Key, text string) (ok bool) {
			*at(k), ok = readTexts(text)
			return ok
		},
		write: func(k *Key) string { return list(*at(k)) },
	}
}

// readTexts gives the texts of an array, without what else it holds.
func readTexts(text string) (texts []string, ok bool) {
	if absent(text) {
		return nil, true
	}
	var all []any
	if json.Unmarshal([]byte(text), &all) != nil {
		return nil, false
	}
	ok = true
	for _, v := range all {
		s, _ := v.(string)
		if s = clean(s); s != "" {
			texts = append(texts, s)
		} else {
			ok = false
		}
	}
	return texts, ok
}

// list prints texts as JavaScript does, which leaves <, > and & as they are.
func list(texts []string) string {
	if len(texts) == 0 {
		return "[]"
	}
	return script(texts)
}

func script(v any) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil { // texts and amounts always marshal
		panic(err)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// nothing is a permission that no platform has.
const nothing = "none"

// readPermissions knows the forms that the service does: an array, "all", "a,b".
func readPermissions(k *Key, text string) (ok bool) {
	k.Permissions, ok = nil, true
	switch {
	case absent(text) || text == "all":
		return true
	case strings.HasPrefix(text, "["):
		if k.Permissions, ok = readTexts(text); ok && len(k.Permissions) == 0 {
			return true
		}
	default:
		for w := range strings.SplitSeq(text, ",") {
			k.Permissions = append(k.Permissions, strings.TrimSpace(clean(w)))
		}
	}
	known, wrong := platformWords(k.Permissions)
	if k.Permissions = known; len(known) == 0 {
		k.Permissions = []string{nothing}
	}
	return ok && !wrong
}

// platformWords leaves out words that come again, and those that would mean something
// else: in an array, all is no platform to the service.
func platformWords(words []string) (known []string, wrong bool) {
	for _, w := range words {
		switch {
		case w == "" || w == "all" || strings.Contains(w, ","):
			wrong = true
		case !slices.Contains(known, w):
			known = append(known, w)
		}
	}
	return known, wrong
}

func readRates(k *Key, text string) bool {
	var values map[string]json.RawMessage
	if absent(text) {
		return true
	}
	if json.Unmarshal([]byte(text), &values) != nil {
		return false
	}
	ok := true
	for service, value := range values {
		rate, known := ParseAmount(strings.Trim(string(value), `"`))
		if !known || clean(service) != service {
			ok = false
			continue
		}
		if k.ServiceRates == nil {
			k.ServiceRates = make(map[string]decimal.Decimal, len(values))
		}
		k.ServiceRates[service] = rate
	}
	return ok
}

func writeRates(k *Key) string {
	rates := make(map[string]json.Number, len(k.ServiceRates))
	for service, rate := range k.ServiceRates {
		rates[service] = json.Number(rate.String())
	}
	return script(rates)
}

// readRules keeps the array as it is written.
func readRules(k *Key, text string) bool {
	var rules []json.RawMessage
	if absent(text) {
		return true
	}
	if json.Unmarshal([]byte(text), &rules) != nil || clean(text) != text {
		return false
	}
	if len(rules) > 0 {
		k.OpenAIResponsesPayloadRules = json.RawMessage(text)
	}
	return true
}

func readMore(k *Key, text string) bool {
	var members map[string]json.RawMessage
	if absent(text) {
		return true
	}
	if json.Unmarshal([]byte(text), &members) != nil {
		return false
	}
	if len(members) > 0 {
		k.More = json.RawMessage(text)
	}
	return true
}
