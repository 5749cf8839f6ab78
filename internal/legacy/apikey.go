package legacy

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/shopspring/decimal"
)

// Key is an API key as the service keeps it, in the hash apikey:ID. Times are in UTC
// and whole milliseconds, but for CreatedAt's microseconds; amounts are in US dollars.
// A zero time is none, a limit of 0 is none.
type Key struct {
	ID string
	// LegacyHash is [KeyHash], NativeHash the SHA-256 of the plaintext alone, both 64
	// lowercase hex digits. One of them may be "". The service knows the first only.
	LegacyHash, NativeHash string

	Name, Description, Icon         string
	CreatedBy, UserID, UserUsername string
	Tags                            []string
	// Permissions are the platforms that the key may use; none is all of them. A word
	// that is no platform's grants nothing.
	Permissions []string

	CreatedAt, UpdatedAt, LastUsedAt time.Time

	IsActive  bool
	IsDeleted bool // whatever IsActive says
	DeletedAt time.Time

	TokenLimit, ConcurrencyLimit            int64
	RateLimitWindow                         int64 // in minutes
	RateLimitRequests                       int64
	RateLimitCost, DailyCostLimit           decimal.Decimal
	TotalCostLimit, WeeklyOpusCostLimit     decimal.Decimal
	WeeklyResetDay, WeeklyResetHour         int64 // 1 (Monday) to 7, 0 to 23
	ExpirationMode                          string
	ActivationDays                          int64 // counts ActivationUnit; 0 is 30 of them
	ActivationUnit                          string
	IsActivated                             bool // also of a key that is in no activation mode
	ActivatedAt, ExpiresAt                  time.Time
	ClaudeAccountID, ClaudeConsoleAccountID string
	GeminiAccountID, OpenAIAccountID        string
	AzureOpenAIAccountID, BedrockAccountID  string
	DroidAccountID, CCRAccountID            string
	EnableModelRestriction                  bool
	RestrictedModels                        []string
	EnableClientRestriction                 bool
	AllowedClients                          []string
	ServiceRates                            map[string]decimal.Decimal
	EnableOpenAIResponsesCodexAdaptation    bool
	EnableOpenAIResponsesPayloadRules       bool
	OpenAIResponsesPayloadRules             json.RawMessage // an array, or nil
	// Extra are the fields that have no place here, as they are.
	Extra map[string]string
	// More are members of a key's extra document that are no texts, or whose names are
	// fields of the service: a JSON object, or nil. The service does not know it.
	More json.RawMessage
}

// Modes and units of a key's expiry.
const (
	Fixed      = "fixed"
	Activation = "activation"
	Days       = "days"
	Hours      = "hours"
)

// Names of hash fields that others have to know, too.
const (
	FieldID         = "id"
	FieldHash       = "apiKey"
	FieldName       = "name"
	FieldTags       = "tags"
	FieldIsActive   = "isActive"
	FieldIsDeleted  = "isDeleted"
	FieldLastUsedAt = "lastUsedAt"
	FieldUpdatedAt  = "updatedAt"
	// FieldNativeHash is a field of our own: NATIVE:HASH, void where HASH is not what
	// the hash is now, since the service has then given the key a new plaintext.
	FieldNativeHash = "relaystoreHash"
	// fieldCreated is createdAt to the microsecond, of our own as well: keys that are
	// made in one millisecond keep their order.
	fieldCreated = "relaystoreCreatedAt"
	fieldMore    = "relaystoreExtra"
)

// ParseKey reads what HGETALL gives of apikey:ID. Faults name the fields whose text has not the
// service's form; they count as absent, and a permission that cannot be read grants
// nothing.
func ParseKey(id string, fields map[string]string) (k Key, faults []string) {
	for _, f := range keyFields {
		if !f.read(&k, fields[f.name]) {
			faults = append(faults, f.name)
		}
	}
	if k.ID != id && !absent(k.ID) {
		faults = append(faults, FieldID)
	}
	k.ID = id
	for name, text := range fields {
		if !isKeyField[name] {
			if k.Extra == nil {
				k.Extra = make(map[string]string)
			}
			k.Extra[name] = text
		}
	}
	return k, append(faults, k.readHashes(fields)...)
}

// Fields gives the whole hash: what the service itself writes, and of the rest what
// is not empty.
func (k *Key) Fields() map[string]string {
	fields := maps.Clone(k.Extra)
	if fields == nil {
		fields = make(map[string]string, len(keyFields))
	}
	for _, f := range keyFields {
		if text := f.write(k); text != "" || !f.optional {
			fields[f.name] = text
		}
	}
	k.writeHashes(fields)
	return fields
}

// readHashes tells which schemes the key is known by.
func (k *Key) readHashes(fields map[string]string) (faults []string) {
	hash := strings.ToLower(fields[FieldHash])
	if !isHash(hash) {
		return []string{FieldHash}
	}
	native, of, _ := strings.Cut(fields[FieldNativeHash], ":")
	if of == hash && isHash(native) {
		k.NativeHash = native
	}
	if k.NativeHash != hash {
		k.LegacyHash = hash
	}
	return nil
}

func (k *Key) writeHashes(fields map[string]string) {
	hash := k.LegacyHash
	if hash == "" {
		hash = k.NativeHash
	}
	fields[FieldHash] = hash
	if k.NativeHash != "" {
		fields[FieldNativeHash] = k.NativeHash + ":" + hash
	}
}

func isHash(text string) bool {
	return len(text) == 64 && strings.Trim(text, "0123456789abcdef") == ""
}

// Hashes are those that apikey:hash_map finds the key by.
func (k *Key) Hashes() []string {
	return slices.DeleteFunc([]string{k.LegacyHash, k.NativeHash}, func(h string) bool { return h == "" })
}

// Waits tells whether the first use is to start the key's life.
func (k *Key) Waits() bool { return k.ExpirationMode == Activation && !k.IsActivated }

// Activated gives when activation mode started the key's life. The service stamps a
// key of the fixed mode as well, with the time it was created.
func (k *Key) Activated() time.Time {
	switch {
	case !k.IsActivated, k.ExpirationMode == Fixed && k.ActivatedAt.Equal(k.CreatedAt.Truncate(time.Millisecond)):
		return time.Time{}
	case k.ActivatedAt.IsZero() && k.ExpirationMode == Activation:
		return k.CreatedAt
	}
	return k.ActivatedAt
}

// ExtraDocument gives Extra and More as one JSON object; nil where there is nothing.
func (k *Key) ExtraDocument() json.RawMessage {
	members := make(map[string]json.RawMessage, len(k.Extra))
	for name, text := range k.Extra {
		members[name] = encode(text)
	}
	if len(k.More) > 0 {
		_ = json.Unmarshal(k.More, &members) // ParseKey and SetExtra let objects alone pass
	}
	if len(members) == 0 {
		return nil
	}
	return encode(members)
}

// SetExtra replaces Extra and More with the members of a JSON object, which may be
// nil.
func (k *Key) SetExtra(doc json.RawMessage) error {
	k.Extra, k.More = nil, nil
	var members map[string]json.RawMessage
	if len(doc) > 0 {
		if err := json.Unmarshal(doc, &members); err != nil {
			return err
		}
	}
	extra := make(map[string]string)
	for name, value := range members {
		var text *string
		if !isKeyField[name] && name != "" && json.Unmarshal(value, &text) == nil && text != nil {
			extra[name] = *text
			delete(members, name)
		}
	}
	if len(extra) > 0 {
		k.Extra = extra
	}
	if len(members) > 0 {
		k.More = encode(members)
	}
	return nil
}

// encode is for what always marshals.
func encode(v any) json.RawMessage {
	doc, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return doc
}
