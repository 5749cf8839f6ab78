package usage

import (
	"time"

	"github.com/seed14a526e0/relaystore/repo/result"
)

// Scope says whose counters a span comes from.
type Scope string

// The scopes. A service that counts keys and accounts apart tells of each request
// twice: spans of keys count in figures of keys, of models and of all, those of
// accounts in figures of accounts and nowhere else.
const (
	ScopeKey     Scope = "key"
	ScopeAccount Scope = "account"
)

// Resolution is how finely a span was counted.
type Resolution string

// The resolutions: an hour, a day and a month of a zone of whole hours, and what is
// older than all of them.
const (
	SpanHour    Resolution = "hour"
	SpanDay     Resolution = "day"
	SpanMonth   Resolution = "month"
	SpanOpening Resolution = "opening"
	// SpanCleaned is the sum of an id's and a model's spans whose figures a clean-up
	// has removed. Imported gives it, Import does not take it.
	SpanCleaned Resolution = "cleaned"
)

// ImportedSpan is what a key or an account used of a model in a span of time, as
// another service counted it, less what finer spans have: spans of one id and model
// do not overlap. Scope, ID, Model, Resolution and Start say which span it is; the
// rest is set.
type ImportedSpan struct {
	Scope Scope `json:"scope"`
	// ID is the key's or the account's UUID, not checked.
	ID string `json:"id"`
	// Model has 1 to 255 characters.
	Model string `json:"model"`
	// Start is inclusive, 2000-01-01 or later, and End exclusive, at most 24 h from
	// now, or in the hour, day or month of then. But for an opening balance they are
	// the bounds of an hour, a day or a month in a zone of whole hours.
	Start      time.Time  `json:"start"`
	End        time.Time  `json:"end"`
	Resolution Resolution `json:"resolution"`
	// Counts lie between 0 and MaxImportedCount; TotalTokens is at least InputTokens +
	// OutputTokens and at most four times MaxImportedCount.
	Requests            int64 `json:"requests"`
	InputTokens         int64 `json:"inputTokens"`
	OutputTokens        int64 `json:"outputTokens"`
	CacheCreationTokens int64 `json:"cacheCreationTokens"`
	CacheReadTokens     int64 `json:"cacheReadTokens"`
	TotalTokens         int64 `json:"totalTokens"`
	// Cost is in US dollars, not negative.
	Cost result.Money `json:"cost"`
}

const (
	// MaxImportedCount bounds the counts of one span: a hundred times a record's. The
	// sum of 20,000 such spans fits in what a figure can be.
	MaxImportedCount = 100 * MaxCount
	// MaxSpans bounds one call of Import.
	MaxSpans = 100_000
	// MaxSummedIDs bounds the ids of one call of Sums and of Imported.
	MaxSummedIDs = 1_000
)

// ImportResult tells what an import did with its spans; each counts once.
type ImportResult struct {
	// Written are new or have changed.
	Written int64 `json:"written"`
	// Unchanged were there already.
	Unchanged int64 `json:"unchanged"`
	// Removed had figures, and now have none.
	Removed int64 `json:"removed"`
	// Cleaned lie before the time whose figures a clean-up has removed; they still
	// count in totals, as they were then.
	Cleaned int64 `json:"cleaned"`
}
