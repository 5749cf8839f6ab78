package replay

import (
	"github.com/shopspring/decimal"

	"github.com/seed14a526e0/relaystore/repo/result"
)

// Model is what a request asked for and what it costs.
type Model struct {
	Name string
	// AccountType is the platform that serves it.
	AccountType string
	// Input and Output are US dollars a million tokens (list prices of 2025).
	Input, Output string
}

// Models are used in turn: row n asks for n mod 4.
var Models = [4]Model{
	{"claude-sonnet-4-20250514", "claude", "3", "15"},
	{"claude-opus-4-20250514", "claude", "15", "75"},
	{"claude-3-5-haiku-20241022", "claude", "0.8", "4"},
	{"gpt-4o", "openai", "2.5", "10"},
}

// Cost is exact: prices have one decimal, tokens are whole.
func (m Model) Cost(input, output int64) result.Money {
	price := func(perMillion string, tokens int64) decimal.Decimal {
		return decimal.RequireFromString(perMillion).Mul(decimal.NewFromInt(tokens)).Shift(-6)
	}
	return result.NewMoney(price(m.Input, input).Add(price(m.Output, output)))
}
