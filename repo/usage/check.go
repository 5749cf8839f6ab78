package usage

import (
	"crypto/sha256"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/seed14a526e0/relaystore/repo/result"
)

const (
	maxModel     = 255
	maxRequestID = 256
	// maxAhead is how far a gateway's clock may be ahead.
	maxAhead = 24 * time.Hour
)

var firstTime = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// entry is a checked record in the ledger's own types.
type entry struct {
	Record

	id, requestHash uuid.UUID
	key, account    uuid.UUID
}

// check refuses a bad record, naming the field (the key's as the caller knows
// it), and gives a good one its id and its time.
func (r Record) check(keyField string, now time.Time) (entry, error) {
	e := entry{Record: r}
	var err error
	if e.key, err = result.ParseID(keyField, r.APIKeyID); err != nil {
		return entry{}, err
	}
	if r.AccountID != "" {
		if e.account, err = result.ParseID("accountId", r.AccountID); err != nil {
			return entry{}, err
		}
	}
	if err := r.checkTexts(); err != nil {
		return entry{}, err
	}
	if err := r.checkCounts(); err != nil {
		return entry{}, err
	}
	if e.Timestamp, err = checkTime(r.Timestamp, now); err != nil {
		return entry{}, err
	}
	if r.RequestID != "" {
		e.requestHash = requestHash(e.key, r.RequestID)
	}
	e.id, err = uuid.NewV7()
	return e, err
}

func (r Record) checkTexts() error {
	if err := checkModel(r.Model); err != nil {
		return err
	}
	return result.CheckText("requestId", r.RequestID, maxRequestID)
}

func checkModel(model string) error {
	if model == "" {
		return result.Invalid("model", "required")
	}
	return result.CheckText("model", model, maxModel)
}

func checkAccountType(t string) error {
	if !slices.Contains(AccountTypes, t) {
		return result.Invalid("accountType", "must be one of %s", strings.Join(AccountTypes, ", "))
	}
	return nil
}

func (r Record) checkCounts() error {
	err := checkCounts(MaxCount, []count{
		{"inputTokens", r.InputTokens}, {"outputTokens", r.OutputTokens}, {"cacheCreationTokens", r.CacheCreationTokens},
		{"cacheReadTokens", r.CacheReadTokens}, {"requestCount", r.RequestCount},
	}, r.TotalTokens, r.InputTokens+r.OutputTokens)
	if err != nil {
		return err
	}
	return result.CheckAmount("cost", r.Cost)
}

// count is one that came in.
type count struct {
	field string
	count int64
}

// checkCounts bounds counts by a limit, and the total by four times as much and by
// what it must contain.
func checkCounts(limit int64, counts []count, total, least int64) error {
	for _, c := range counts {
		if c.count < 0 || c.count > limit {
			return result.Invalid(c.field, "must lie between 0 and %d", limit)
		}
	}
	switch {
	case total < 0 || total > 4*limit:
		return result.Invalid("totalTokens", "must lie between 0 and %d", 4*limit)
	case total < least:
		return result.Invalid("totalTokens", "must be at least inputTokens + outputTokens")
	}
	return nil
}

func checkTime(t, now time.Time) (time.Time, error) {
	if t.IsZero() {
		t = now
	}
	t = t.UTC().Truncate(time.Microsecond)
	if t.Before(firstTime) || t.After(now.Add(maxAhead)) {
		return time.Time{}, result.Invalid("timestamp", "must lie between 2000-01-01 and 24 hours from now")
	}
	return t, nil
}

// requestHash is 16 bytes of SHA-256: two of 10¹² requestIds share one with a
// probability of about 10⁻¹⁵.
func requestHash(key uuid.UUID, requestID string) uuid.UUID {
	text := make([]byte, 0, len(key)+maxRequestID) // longer ones of more bytes than characters grow
	sum := sha256.Sum256(append(append(text, key[:]...), requestID...))
	return uuid.UUID(sum[:len(key)])
}
