package usage

import (
	"time"

	"github.com/seed14a526e0/relaystore/repo/result"
)

// CostQuery asks what a range cost. The id narrows it; an empty one does not.
type CostQuery struct {
	APIKeyID string `json:"apiKeyId,omitempty"`
	// StartDate is inclusive, EndDate exclusive; at most 10,000 days lie between.
	StartDate time.Time `json:"startDate"`
	EndDate   time.Time `json:"endDate"`
	// GroupBy is ByDay, ByModel or ByAccount.
	GroupBy GroupBy `json:"groupBy"`
	// TimeZone is an IANA name whose days count; "" is UTC. An extension.
	TimeZone string `json:"timeZone,omitempty"`
}

// CostAnalysis is what a range cost, from several sides: the costs of CostBreakdown
// and those of Trends have the same sum, but by account where imported spans of
// accounts cost more than those of keys.
type CostAnalysis struct {
	// CostBreakdown has every day of the range in order, or every model or account
	// that has a record in it, the dearest first, ties by their category.
	CostBreakdown []CostShare `json:"costBreakdown"`
	// Trends has one element a day in order, those without any cost included.
	Trends []CostTrend `json:"trends"`
	// TopModels are the 10 dearest models, ties by name.
	TopModels []ModelCost `json:"topModels"`
	// OldestUnflushedMs is as in Stats. An extension.
	OldestUnflushedMs int64 `json:"oldestUnflushedMs,omitempty"`
}

// CostShare is one category's part of all costs.
type CostShare struct {
	// Category is a date (2025-09-16), a model or an account id; "" is no account.
	Category string `json:"category"`
	// Name is the account's; deleted ones keep theirs, and an id that was never one
	// of ours has none. An extension.
	Name string       `json:"name,omitempty"`
	Cost result.Money `json:"cost"`
	// Percentage has 2 decimals. All percentages are cut off after them, and what
	// then lacks to 100 goes in hundredths to those that lost most, the earlier of
	// equals: together they are 100, and all are 0 where there is no cost.
	Percentage result.Ratio `json:"percentage"`
}

// CostTrend is the cost of a day, as the clocks of the zone showed it.
type CostTrend struct {
	Date string       `json:"date"`
	Cost result.Money `json:"cost"`
	// Change is the fraction against the element before: 0.5 is half as much again,
	// -1 is nothing any more. It has 12 decimals, rounded half-even; 0 for the first
	// element, and after one without cost.
	Change result.Ratio `json:"change"`
	// Approximate is as in a Bucket. An extension.
	Approximate bool `json:"approximate,omitempty"`
}

// ModelCost is what one model cost.
type ModelCost struct {
	Model    string       `json:"model"`
	Cost     result.Money `json:"cost"`
	Requests int64        `json:"requests"`
}
