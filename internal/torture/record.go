package torture

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"

	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/usage"
)

// mark is a record's identity.
type mark struct {
	// Stream is the caller, among all that there ever were.
	Stream int64 `json:"s,omitempty"`
	// Number counts the caller's records from 1 on.
	Number int64 `json:"n,omitempty"`
}

// without is how often a record has no requestId: then only the library may try
// again.
const without = 8

// months is how far back records go.
const months = 60

func (m mark) requestID() string {
	if m.Number%without == 0 {
		return ""
	}
	return fmt.Sprintf("%d-%d", m.Stream, m.Number)
}

// traffic is what all records are drawn from. Few keys and models make them meet in
// the same cells.
type traffic struct {
	Keys  []apiKey  `json:"keys"`
	Begun time.Time `json:"begun"`
}

type apiKey struct {
	ID   string `json:"id"`
	Hash string `json:"hash"`
}

var (
	accounts = []string{"", uuid.NewSHA1(uuid.Nil, []byte("a")).String(), uuid.NewSHA1(uuid.Nil, []byte("b")).String()}
	models   = []string{"claude-opus-4-20250514", "claude-sonnet-4-20250514", "gpt-5", "gemini-2.5-pro"}
)

// record draws the record of a mark: always the same one. One of sixteen lies in an
// older month, every few callers in another one, so that months are made all along.
func (t *traffic) record(m mark) usage.Record {
	random := rand.New(rand.NewPCG(uint64(m.Stream), uint64(m.Number))) //nolint:gosec // to repeat it
	at := t.Begun.Add(-time.Duration(random.Int64N(int64(time.Hour))))
	if random.IntN(16) == 0 {
		at = at.AddDate(0, -int(m.Stream/8%months), -random.IntN(31))
	}
	cached := random.Int64N(1_000)
	return usage.Record{
		APIKeyID:    t.Keys[random.IntN(len(t.Keys))].ID,
		AccountID:   accounts[random.IntN(len(accounts))],
		AccountType: "claude", Model: models[random.IntN(len(models))],
		InputTokens: m.Stream, OutputTokens: m.Number, CacheReadTokens: cached, TotalTokens: m.Stream + m.Number + cached,
		Cost:         result.NewMoney(decimal.New(random.Int64N(1_000_000_000), -12)),
		RequestCount: 1 + random.Int64N(3), RequestID: m.requestID(),
		Timestamp: at,
	}
}

// rowText is a stored record in words, less its mark; text makes the same of one
// that was sent.
const rowText = `concat_ws(' ', api_key_id, account_id, account_type, model, requests, cache_creation_tokens,
	cache_read_tokens, total_tokens, trim_scale(cost), (extract(epoch FROM occurred_at) * 1000000)::bigint)`

func text(r usage.Record) string {
	account := r.AccountID
	if account == "" {
		account = uuid.Nil.String()
	}
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	return strings.Join([]string{
		r.APIKeyID, account, r.AccountType, r.Model, number(r.RequestCount), number(r.CacheCreationTokens),
		number(r.CacheReadTokens), number(r.TotalTokens), r.Cost.String(), number(r.Timestamp.UnixMicro()),
	}, " ")
}
