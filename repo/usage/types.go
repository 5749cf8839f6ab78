package usage

import (
	"time"

	"github.com/seed14a526e0/relaystore/repo/result"
)

// Record is one use of a key: the contract's usageData.
type Record struct {
	// APIKeyID is the UUID of a key that exists or existed.
	APIKeyID string `json:"apiKeyId"`
	// AccountID attributes the use to an upstream account: a UUID, not checked.
	AccountID string `json:"accountId,omitempty"`
	// AccountType is one of AccountTypes.
	AccountType string `json:"accountType"`
	// Model has 1 to 255 characters.
	Model string `json:"model"`
	// Token counts lie between 0 and MaxCount.
	InputTokens  int64 `json:"inputTokens"`
	OutputTokens int64 `json:"outputTokens"`
	// TotalTokens is at least InputTokens + OutputTokens; tokens of caches may
	// come on top.
	TotalTokens int64 `json:"totalTokens"`
	// Cost is in US dollars, not negative.
	Cost result.Money `json:"cost"`
	// RequestCount is how many requests the record stands for: SET IT TO 1 for one
	// request. It is counted as given: Go's zero value counts tokens and cost, and no
	// request.
	RequestCount int64 `json:"requestCount"`
	// Timestamp is when it happened, between 2000-01-01 and 24 h from now; the
	// zero time is now. Digits below the microsecond are cut off.
	Timestamp time.Time `json:"timestamp,omitzero"`

	// RequestID makes the record count once a key, for RequestIDWindow: at most
	// 256 characters. An extension.
	RequestID string `json:"requestId,omitempty"`
	// CacheCreationTokens and CacheReadTokens are extensions.
	CacheCreationTokens int64 `json:"cacheCreationTokens,omitempty"`
	CacheReadTokens     int64 `json:"cacheReadTokens,omitempty"`
}

// MaxCount bounds the token and request counts of one record. A hundred thousand
// of the largest contexts of 2025 (10⁷ tokens) fit.
const MaxCount = 1_000_000_000_000

// AccountTypes are the contract's three words and the legacy service's types.
var AccountTypes = []string{
	"claude", "gemini", "openai",
	"claude-official", "claude-console", "ccr", "bedrock", "gemini-api",
	"openai-responses", "azure-openai", "droid",
}

// Granularity is the width of a bucket.
type Granularity string

// Granularities of a StatsQuery.
const (
	Hour  Granularity = "hour"
	Day   Granularity = "day"
	Month Granularity = "month"
)

// GroupBy adds a map to each bucket, or says what a cost is broken down by.
type GroupBy string

// Groupings: ByDay is for a CostQuery, ByAPIKey for a StatsQuery, whose models map
// is always there.
const (
	ByDay     GroupBy = "day"
	ByModel   GroupBy = "model"
	ByAccount GroupBy = "account"
	ByAPIKey  GroupBy = "apikey"
)

// StatsQuery asks for figures. The ids and the model narrow it; empty ones do not.
type StatsQuery struct {
	APIKeyID  string `json:"apiKeyId,omitempty"`
	AccountID string `json:"accountId,omitempty"`
	Model     string `json:"model,omitempty"`
	// StartDate is inclusive, EndDate exclusive.
	StartDate   time.Time   `json:"startDate"`
	EndDate     time.Time   `json:"endDate"`
	Granularity Granularity `json:"granularity"`
	GroupBy     GroupBy     `json:"groupBy,omitempty"`
	// TimeZone is an IANA name whose hours, days and months the buckets are;
	// "" is UTC. An extension.
	TimeZone string `json:"timeZone,omitempty"`
}

// Stats are figures by bucket and over all.
type Stats struct {
	// Stats has one element a bucket in order, empty ones included.
	Stats   []Bucket `json:"stats"`
	Summary Summary  `json:"summary"`
	// OldestUnflushedMs is, under write_behind, the age of the oldest record that
	// was acknowledged and may not be in the figures; 0 says that all are, -1 that
	// the journal does not tell. An extension.
	OldestUnflushedMs int64 `json:"oldestUnflushedMs,omitempty"`
}

// Bucket is one hour, day or month.
type Bucket struct {
	// Date is 2025-09-16T14:00:00+08:00 for hours (…Z in UTC), 2025-09-16 for
	// days, 2025-09 for months.
	Date string `json:"date"`
	Figures
	// Models is by model.
	Models map[string]Figures `json:"models"`
	// Accounts is by account id ("" is no account), for ByAccount. Over all keys, what
	// is imported stands here as accounts counted it, and in the rest of the bucket as
	// keys did.
	Accounts map[string]Figures `json:"accounts,omitzero"`
	// APIKeys is by key id, for ByAPIKey.
	APIKeys map[string]Figures `json:"apiKeys,omitzero"`
	// Approximate tells that an edge of the bucket divides a quarter of an hour
	// whose records have been cleaned up, or an imported span: it counts in the bucket
	// of its start. An extension.
	Approximate bool `json:"approximate,omitempty"`
}

// Figures are sums: the contract's UsageData.
type Figures struct {
	Requests            int64        `json:"requests"`
	InputTokens         int64        `json:"inputTokens"`
	OutputTokens        int64        `json:"outputTokens"`
	CacheCreationTokens int64        `json:"cacheCreationTokens"`
	CacheReadTokens     int64        `json:"cacheReadTokens"`
	TotalTokens         int64        `json:"totalTokens"`
	Cost                result.Money `json:"cost"`
	// Name is the key's in APIKeys and the account's in Accounts; deleted ones keep
	// theirs, and an id that was never one of ours has none.
	Name string `json:"name,omitempty"`
}

// Summary is over all buckets.
type Summary struct {
	TotalRequests int64        `json:"totalRequests"`
	TotalTokens   int64        `json:"totalTokens"`
	TotalCost     result.Money `json:"totalCost"`
	// AverageCostPerToken has 12 decimals, rounded half-even; 0 without tokens.
	AverageCostPerToken result.Money `json:"averageCostPerToken"`
}

// add sums g into f.
func (f *Figures) add(g Figures) {
	f.Requests += g.Requests
	f.InputTokens += g.InputTokens
	f.OutputTokens += g.OutputTokens
	f.CacheCreationTokens += g.CacheCreationTokens
	f.CacheReadTokens += g.CacheReadTokens
	f.TotalTokens += g.TotalTokens
	f.Cost = f.Cost.Add(g.Cost)
}
