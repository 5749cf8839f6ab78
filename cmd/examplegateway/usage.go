package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"time"

	"github.com/shopspring/decimal"

	"github.com/seed14a526e0/relaystore/repo/accounts"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/usage"
)

// exchange is what one request has used so far.
type exchange struct {
	keyID, accountID, model string

	requestID string // the gateway's own: a client could send one twice, and use for nothing
	began     bool   // the provider has begun an answer
	deltas    int64  // pieces of text since the provider last told its count
	tokens    tokens
}

type tokens struct {
	Input       int64 `json:"input_tokens"`
	Output      int64 `json:"output_tokens"`
	CacheWrites int64 `json:"cache_creation_input_tokens"`
	CacheReads  int64 `json:"cache_read_input_tokens"`
}

// note takes a whole answer or an event of a stream. Counts that it does not have stay.
func (x *exchange) note(doc []byte) {
	var e struct {
		Type    string
		Usage   *tokens
		Message struct{ Usage *tokens }
	}
	e.Usage, e.Message.Usage = &x.tokens, &x.tokens
	switch _ = json.Unmarshal(doc, &e); e.Type {
	case "content_block_delta":
		x.deltas++
	case "message_delta":
		x.deltas = 0 // the provider's count has them
	}
}

// record is what the ledger gets. Of an interrupted stream the provider has not told its
// count: each piece of text was one token at least.
func (x *exchange) record() usage.Record {
	t := x.tokens
	t.Output = max(t.Output, x.deltas)
	return usage.Record{
		APIKeyID: x.keyID, AccountID: x.accountID, AccountType: accounts.Claude, Model: x.model, RequestID: x.requestID,
		InputTokens: t.Input, OutputTokens: t.Output, CacheCreationTokens: t.CacheWrites, CacheReadTokens: t.CacheReads,
		TotalTokens: t.Input + t.Output + t.CacheWrites + t.CacheReads, Cost: t.cost(), RequestCount: 1, Timestamp: time.Now(),
	}
}

// cost is in US dollars, at the list price of one model: the table by models is yours.
func (t tokens) cost() result.Money {
	return result.NewMoney(decimal.New(300*t.Input+1500*t.Output+375*t.CacheWrites+30*t.CacheReads, -8))
}

// settle gives a request's place back when what it used is recorded: the response does not
// wait for that, and a client that hangs up cancels its response, not its record.
func (g *gateway) settle(ctx context.Context, x *exchange) {
	if !x.began {
		g.places.Release(1)
		return
	}
	go func() {
		defer g.places.Release(1)
		if err := g.client.Usage.RecordUsageWithin(ctx, x.record(), recordTime).Err(); err != nil {
			g.lost.Add(1)
			slog.Error("usage could not be recorded", "error", err, "record", x.record()) // to record it by hand
		}
	}()
}
