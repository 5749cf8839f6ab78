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
	if r.Model == "" {
		return result.Invalid("model", "required")
	}
	if err := result.CheckText("model", r.Model, maxModel); err != nil {
		return err
	}
	return result.CheckText("requestId", r.RequestID, maxRequestID)
}

func checkAccountType(t string) error {
	if !slices.Contains(AccountTypes, t) {
		return result.Invalid("accountType", "must be one of %s", strings.Join(AccountTypes, ", "))
	}
	return nil
}

func (r Record) checkCounts() error {
	for _, c := range []struct {
		field string
		count int64
	}{
		{"inputTokens", r.InputTokens},
		{"outputTokens", r.OutputTokens},
		{"cacheCreationTokens", r.CacheCreationTokens},
		{"cacheReadTokens", r.CacheReadTokens},
		{"requestCount", r.RequestCount},
		{"totalTokens", r.TotalTokens},
	} {
		limit := int64(MaxCount)
		if c.field == "totalTokens" {
			limit = 4 * MaxCount // the sum of four counts
		}
		if c.count < 0 || c.count > limit {
			return result.Invalid(c.field, "must lie between 0 and %d", limit)
		}
	}
	if r.TotalTokens < r.InputTokens+r.OutputTokens {
		return result.Invalid("totalTokens", "must be at least inputTokens + outputTokens")
	}
	return result.CheckAmount("cost", r.Cost)
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
	sum := sha256.Sum256(append(key[:], requestID...))
	return uuid.UUID(sum[:16])
}
