package main

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/shopspring/decimal"

	"github.com/seed14a526e0/relaystore/repo/accounts"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/usage"
)

// recordWithin is how long a record is tried again while the database is away.
const recordWithin = 15 * time.Second

// exchange is what one request has used so far.
type exchange struct {
	keyID, accountID, model, requestID string

	began  bool  // the provider has begun an answer
	deltas int64 // pieces of text since the provider last told its count
	tokens tokens
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

// settle gives a request's place back, when what it used is recorded. The response does
// not wait for that, and a client that hangs up cancels its response, not its record.
func (g *gateway) settle(ctx context.Context, x *exchange) {
	if !x.began {
		g.places.Release(1)
		return
	}
	go func() {
		defer g.places.Release(1)
		g.record(context.WithoutCancel(ctx), x.record())
	}()
}

// record tries until the record is in the ledger: the requestId makes it count once,
// also when a try has succeeded and nobody could say so.
func (g *gateway) record(ctx context.Context, rec usage.Record) {
	_, err := backoff.Retry(ctx, func() (bool, error) {
		err := g.client.Usage.RecordUsage(ctx, rec).Err()
		if errors.Is(err, result.InvalidQuery) || errors.Is(err, result.RecordNotFound) {
			err = backoff.Permanent(err)
		}
		return true, err
	}, backoff.WithMaxElapsedTime(recordWithin))
	if err != nil {
		g.lost.Add(1)
		g.log.Error("usage could not be recorded", "error", err, "record", rec) // to record it by hand
	}
}
