package legacy

import (
	"cmp"
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
