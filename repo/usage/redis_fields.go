package usage

import (
	"encoding/json"

	"github.com/seed14a526e0/relaystore/repo/result"
)

// figures are the fields T of a counter. allTokens is what the record says, whatever
// its parts are.
func (c *counted) figures(f *fieldSet) {
	c.withoutAll(f)
	f.add("allTokens", c.TotalTokens)
}

func (c *counted) withoutAll(f *fieldSet) {
	f.add("inputTokens", c.InputTokens)
	f.add("outputTokens", c.OutputTokens)
	f.add("cacheCreateTokens", c.CacheCreationTokens)
	f.add("cacheReadTokens", c.CacheReadTokens)
	f.add("requests", c.RequestCount)
	f.add("ephemeral5mTokens", c.parts.five)
	f.add("ephemeral1hTokens", c.parts.hour)
}

// cacheParts divides cache creation tokens by how long they live: 5 minutes, an hour.
type cacheParts struct{ five, hour int64 }

// longUse is what long contexts used.
type longUse struct{ input, output, requests int64 }

func (c *counted) tokens(f *fieldSet) { f.add("tokens", c.InputTokens+c.OutputTokens) }

// micros are the fields C, which a record without cost does not make.
func (c *counted) micros(f *fieldSet) {
	if !c.Cost.IsZero() {
		f.add("realCostMicro", c.micro)
		f.add("ratedCostMicro", c.micro)
	}
}

func (c *counted) totals(f *fieldSet) {
	f.add("totalTokens", c.InputTokens+c.OutputTokens)
	f.add("totalInputTokens", c.InputTokens)
	f.add("totalOutputTokens", c.OutputTokens)
	f.add("totalCacheCreateTokens", c.CacheCreationTokens)
	f.add("totalCacheReadTokens", c.CacheReadTokens)
	f.add("totalAllTokens", c.TotalTokens)
	f.add("totalEphemeral5mTokens", c.parts.five)
	f.add("totalEphemeral1hTokens", c.parts.hour)
	f.add("totalRequests", c.RequestCount)
	if c.longs != (longUse{}) {
		f.add("totalLongContextInputTokens", c.longs.input)
		f.add("totalLongContextOutputTokens", c.longs.output)
		f.add("totalLongContextRequests", c.longs.requests)
	}
}

func (c *counted) longFigures(f *fieldSet) {
	if c.longs != (longUse{}) {
		f.add("longContextInputTokens", c.longs.input)
		f.add("longContextOutputTokens", c.longs.output)
		f.add("longContextRequests", c.longs.requests)
	}
}

// modelFigures are those of an account's hour, which has its models in itself.
func (c *counted) modelFigures(f *fieldSet) {
	var own fieldSet
	c.figures(&own)
	for i, name := range own.Names {
		f.add("model:"+c.model+":"+name, own.By[i])
	}
}

// listed is the record as usage:records keeps it. What only the service knows is null.
func (c *counted) listed() []byte {
	cost := result.NewMoney(c.Cost.Decimal().Round(6))
	total := map[string]result.Money{"total": c.Cost}
	data, _ := json.Marshal(struct {
		Timestamp         result.Time             `json:"timestamp"`
		Model             string                  `json:"model"`
		AccountID         *string                 `json:"accountId"`
		AccountType       *string                 `json:"accountType"`
		RequestID         *string                 `json:"requestId"`
		Endpoint          *string                 `json:"endpoint"`
		Method            *string                 `json:"method"`
		StatusCode        *int                    `json:"statusCode"`
		Stream            bool                    `json:"stream"`
		DurationMs        *int                    `json:"durationMs"`
		InputTokens       int64                   `json:"inputTokens"`
		OutputTokens      int64                   `json:"outputTokens"`
		CacheCreateTokens int64                   `json:"cacheCreateTokens"`
		CacheReadTokens   int64                   `json:"cacheReadTokens"`
		Ephemeral5m       int64                   `json:"ephemeral5mTokens"`
		Ephemeral1h       int64                   `json:"ephemeral1hTokens"`
		TotalTokens       int64                   `json:"totalTokens"`
		Cost              result.Money            `json:"cost"`
		RealCost          result.Money            `json:"realCost"`
		CostBreakdown     map[string]result.Money `json:"costBreakdown"`
		RealCostBreakdown map[string]result.Money `json:"realCostBreakdown"`
		IsLongContext     bool                    `json:"isLongContext"`
	}{
		Timestamp: result.Time(c.Timestamp), Model: c.Model, AccountID: orNull(c.account), AccountType: orNull(c.AccountType),
		RequestID: orNull(c.RequestID), InputTokens: c.InputTokens, OutputTokens: c.OutputTokens,
		CacheCreateTokens: c.CacheCreationTokens, CacheReadTokens: c.CacheReadTokens, TotalTokens: c.TotalTokens,
		Cost: cost, RealCost: cost, CostBreakdown: total, RealCostBreakdown: total, IsLongContext: c.long,
	})
	return data
}

// event is the record as billing:events has it: exact, and with the record's own id.
func (c *counted) event() []byte {
	type object map[string]any
	data, _ := json.Marshal(object{
		"eventId": c.entry.id.String(), "eventType": "usage.recorded", "version": "1.0", "timestamp": result.Time(c.Timestamp),
		"apiKey": object{"id": c.id, "name": nil, "userId": nil},
		"usage": object{
			"model": c.Model, "inputTokens": c.InputTokens, "outputTokens": c.OutputTokens, "cacheCreateTokens": c.CacheCreationTokens,
			"cacheReadTokens": c.CacheReadTokens, "ephemeral5mTokens": 0, "ephemeral1hTokens": 0, "totalTokens": c.TotalTokens,
		},
		"cost":    object{"total": c.Cost, "currency": "USD", "breakdown": object{}},
		"account": object{"id": orNull(c.account), "type": orNull(c.AccountType)},
		"context": object{"isLongContext": c.long, "requestTimestamp": result.Time(c.Timestamp)},
	})
	return data
}

func orNull(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}
