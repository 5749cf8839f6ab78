package apikeys

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/usage"
)

// KeyData is what a key is created with: the contract's keyData. Only Name is
// required. Limits of 0 mean none. The fields from RateLimitWindow on are the
// legacy service's (claude-relay-service v1.1.314), under its names.
type KeyData struct {
	// ID is a UUID; one is made when it is empty.
	ID string `json:"id,omitempty"`
	// HashedKey imports a key whose plaintext is elsewhere: 64 hex digits. No
	// plaintext is made then.
	HashedKey string `json:"hashedKey,omitempty"`
	// HashScheme says what HashedKey is: HashSHA256 (also when empty) or HashLegacy.
	HashScheme string `json:"hashScheme,omitempty"`

	// Name has 1 to 255 characters and need not be unique.
	Name string `json:"name"`
	// Description has at most 4,096 characters.
	Description string `json:"description,omitempty"`
	// Permissions is "all" (the default) or a comma-joined set of claude, gemini,
	// openai and droid.
	Permissions string `json:"permissions,omitempty"`
	// TokenLimit is in tokens a rate window.
	TokenLimit int64 `json:"tokenLimit,omitempty"`
	// ConcurrencyLimit is in requests at a time.
	ConcurrencyLimit int64 `json:"concurrencyLimit,omitempty"`
	// DailyCostLimit is in US dollars, like every cost limit.
	DailyCostLimit result.Money `json:"dailyCostLimit,omitzero"`
	// ExpiresAt is when the key stops being active; the zero time is never.
	ExpiresAt time.Time `json:"expiresAt,omitzero"`
	// Tags are at most 100 of at most 128 characters.
	Tags []string `json:"tags,omitempty"`

	// RateLimitWindow is in minutes.
	RateLimitWindow int64 `json:"rateLimitWindow,omitempty"`
	// RateLimitRequests is in requests a window; Validation shows it as requests.
	RateLimitRequests   int64        `json:"rateLimitRequests,omitempty"`
	RateLimitCost       result.Money `json:"rateLimitCost,omitzero"`
	TotalCostLimit      result.Money `json:"totalCostLimit,omitzero"`
	WeeklyOpusCostLimit result.Money `json:"weeklyOpusCostLimit,omitzero"`
	// WeeklyResetDay is 1 (Monday, the default) to 7.
	WeeklyResetDay int `json:"weeklyResetDay,omitempty"`
	// WeeklyResetHour is 0 to 23.
	WeeklyResetHour int `json:"weeklyResetHour,omitempty"`

	// ExpirationMode is "fixed" (the default) or "activation": the first
	// successful validation starts ActivationDays units of life.
	ExpirationMode string `json:"expirationMode,omitempty"`
	// ActivationDays counts ActivationUnit; 0 means 30 of them.
	ActivationDays int64 `json:"activationDays,omitempty"`
	// ActivationUnit is "days" (the default) or "hours".
	ActivationUnit string `json:"activationUnit,omitempty"`

	// Bindings to upstream accounts: an account's id, group:ID, responses:ID (in
	// OpenAIAccountID) or api:ID (in GeminiAccountID); "" is the shared pool.
	ClaudeAccountID        string `json:"claudeAccountId,omitempty"`
	ClaudeConsoleAccountID string `json:"claudeConsoleAccountId,omitempty"`
	GeminiAccountID        string `json:"geminiAccountId,omitempty"`
	OpenAIAccountID        string `json:"openaiAccountId,omitempty"`
	AzureOpenAIAccountID   string `json:"azureOpenaiAccountId,omitempty"`
	BedrockAccountID       string `json:"bedrockAccountId,omitempty"`
	DroidAccountID         string `json:"droidAccountId,omitempty"`
	CCRAccountID           string `json:"ccrAccountId,omitempty"`

	EnableModelRestriction bool `json:"enableModelRestriction,omitempty"`
	// RestrictedModels are models that the key may not use.
	RestrictedModels        []string `json:"restrictedModels,omitempty"`
	EnableClientRestriction bool     `json:"enableClientRestriction,omitempty"`
	// AllowedClients are the only clients that may use the key.
	AllowedClients []string `json:"allowedClients,omitempty"`
	// ServiceRates multiply a service's cost for this key.
	ServiceRates map[string]result.Money `json:"serviceRates,omitempty"`
	// EnableOpenAIResponsesCodexAdaptation is true where it is nil; a stored key
	// always has it.
	EnableOpenAIResponsesCodexAdaptation *bool `json:"enableOpenAIResponsesCodexAdaptation,omitempty"`
	EnableOpenAIResponsesPayloadRules    bool  `json:"enableOpenAIResponsesPayloadRules,omitempty"`
	// OpenAIResponsesPayloadRules is a JSON array of at most 64 KiB.
	OpenAIResponsesPayloadRules json.RawMessage `json:"openaiResponsesPayloadRules,omitempty"`

	CreatedBy    string `json:"createdBy,omitempty"`
	UserID       string `json:"userId,omitempty"`
	UserUsername string `json:"userUsername,omitempty"`
	// Icon is image data in base64, at most 256 KiB.
	Icon string `json:"icon,omitempty"`
	// Extra keeps what has no field here: a JSON object of at most 64 KiB. In
	// JSON, unknown members of keyData come here.
	Extra json.RawMessage `json:"extra,omitempty"`
}

// Hash schemes of KeyData.HashScheme.
const (
	HashSHA256 = "sha256"
	HashLegacy = "legacy"
)

// APIKey is a stored key: the contract's ApiKeyData, every field of KeyData and
// what the store adds.
type APIKey struct {
	KeyData

	// IsActive is the stored switch; whether a key is expired as well is for
	// ValidateAPIKey to say.
	IsActive bool `json:"isActive"`
	// ActivatedAt is when activation mode started the key's life.
	ActivatedAt time.Time `json:"activatedAt,omitzero"`
	// LastUsedAt is when the key was last validated, to about a minute, and under
	// write_behind as far as the journal is flushed.
	LastUsedAt time.Time `json:"lastUsedAt,omitzero"`
	CreatedAt  time.Time `json:"createdAt"`
	UpdatedAt  time.Time `json:"updatedAt"`
}

// Created is what CreateAPIKey gives.
type Created struct {
	ID string `json:"id"`
	// APIKey is the plaintext, shown this once. It is absent for an imported hash.
	APIKey    string    `json:"apiKey,omitempty"`
	HashedKey string    `json:"hashedKey"`
	CreatedAt time.Time `json:"createdAt"`
}

// Validation is what ValidateAPIKey gives.
type Validation struct {
	ID          string `json:"id"`
	Permissions string `json:"permissions"`
	// IsActive is true for an enabled key that has not expired. Of one that is not,
	// a passed ExpiresAt says that it has expired; else it is disabled.
	IsActive   bool       `json:"isActive"`
	ExpiresAt  time.Time  `json:"expiresAt,omitzero"`
	RateLimits RateLimits `json:"rateLimits"`
}

// Allows tells whether the permissions grant a platform: they are all, or name it.
func (v Validation) Allows(platform string) bool {
	return v.Permissions == permissionAll || slices.Contains(strings.Split(v.Permissions, ","), platform)
}

// Sent is the key that a request's headers have, in either way that clients send one: a
// bearer token, or X-Api-Key.
func Sent(h http.Header) string {
	if scheme, token, _ := strings.Cut(h.Get("Authorization"), " "); strings.EqualFold(scheme, "Bearer") {
		return token
	}
	return h.Get("X-Api-Key")
}

// RateLimits are a key's limits; 0 is none.
type RateLimits struct {
	// Concurrency is in requests at a time.
	Concurrency int64 `json:"concurrency"`
	// Daily is in US dollars.
	Daily result.Money `json:"daily"`
	// Requests is in requests a rate window.
	Requests int64 `json:"requests"`
}

// Filters narrow and order GetAllAPIKeys; the zero value gives the first 50 keys,
// newest first.
type Filters struct {
	// IsActive asks for what ValidateAPIKey would say now.
	IsActive *bool `json:"isActive,omitempty"`
	// Permissions asks for keys that grant one platform, or for those that grant
	// "all"; the latter grant each platform, too.
	Permissions string `json:"permissions,omitempty"`
	// Tags asks for keys that have all of them.
	Tags []string `json:"tags,omitempty"`
	// Limit is the page's size: 1 to 1,000, 0 for 50.
	Limit int `json:"limit,omitempty"`
	// Offset is how many keys come before the page.
	Offset int `json:"offset,omitempty"`
	// SortBy is createdAt (the default), name, lastUsedAt (never is oldest) or
	// expiresAt (never is last). Ties go by id.
	SortBy string `json:"sortBy,omitempty"`
	// SortOrder is DESC (the default) or ASC.
	SortOrder string `json:"sortOrder,omitempty"`
}

// Page is a part of a list.
type Page struct {
	Keys []APIKey `json:"keys"`
	// Total counts the keys on all pages.
	Total int `json:"total"`
	// Page is offset / limit + 1.
	Page       int `json:"page"`
	TotalPages int `json:"totalPages"`
}

// UsageData is one use of a key, as RecordAPIKeyUsage takes it. Its total is the sum
// of the four token counts.
type UsageData struct {
	Model        string       `json:"model"`
	InputTokens  int64        `json:"inputTokens"`
	OutputTokens int64        `json:"outputTokens"`
	Cost         result.Money `json:"cost"`
	// RequestCount is how many requests this stands for, usually 1.
	RequestCount int64 `json:"requestCount"`
	// Timestamp is when it happened; the zero time is now.
	Timestamp time.Time `json:"timestamp,omitzero"`
	// RequestID, CacheCreationTokens and CacheReadTokens are extensions; see
	// usage.Record.
	RequestID           string `json:"requestId,omitempty"`
	CacheCreationTokens int64  `json:"cacheCreationTokens,omitempty"`
	CacheReadTokens     int64  `json:"cacheReadTokens,omitempty"`
}

func (u UsageData) record(keyID string) usage.Record {
	return usage.Record{
		APIKeyID:            keyID,
		Model:               u.Model,
		InputTokens:         u.InputTokens,
		OutputTokens:        u.OutputTokens,
		TotalTokens:         u.InputTokens + u.OutputTokens + u.CacheCreationTokens + u.CacheReadTokens,
		CacheCreationTokens: u.CacheCreationTokens,
		CacheReadTokens:     u.CacheReadTokens,
		Cost:                u.Cost,
		RequestCount:        u.RequestCount,
		Timestamp:           u.Timestamp,
		RequestID:           u.RequestID,
	}
}
