package result

import (
	"math"
	"regexp"
	"strconv"

	"github.com/shopspring/decimal"
)

// MoneyDecimals is how many decimals an amount keeps: a millionth of a
// millionth of a dollar.
const MoneyDecimals = 12

const (
	maxMoneyDigits   = 64
	maxMoneyExponent = 64
)

var (
	moneyLimit  = decimal.New(1, 12)
	moneyNumber = regexp.MustCompile(`^-?[0-9]+(?:\.[0-9]+)?(?:[eE]([+-]?[0-9]+))?$`)
)

// Money is an exact amount of US dollars with at most [MoneyDecimals] decimals.
// What a caller gives is rounded half-even once, when the Money is made. Amounts
// given lie between -10^12 and 10^12 exclusive; sums may be larger. In JSON it
// is a number, never a string. The zero value is 0.
type Money struct{ amount decimal.Decimal }

// NewMoney rounds a decimal to an amount.
func NewMoney(d decimal.Decimal) Money { return Money{d.RoundBank(MoneyDecimals)} }

// ParseMoney reads a JSON number of at most 64 characters and an exponent of at
// most ±64: "1e999999999" would cost its digits in memory. Anything else, NaN and
// the infinities included, is InvalidQuery.
func ParseMoney(text string) (Money, error) {
	d, err := parseNumber("an amount", text)
	if err != nil {
		return Money{}, err
	}
	m := NewMoney(d)
	return m, m.Check()
}

// parseNumber reads a JSON number of bounded size.
func parseNumber(what, text string) (decimal.Decimal, error) {
	if len(text) > maxMoneyDigits {
		return decimal.Decimal{}, New(InvalidQuery, "%s has at most %d characters", what, maxMoneyDigits)
	}
	parts := moneyNumber.FindStringSubmatch(text)
	if parts == nil {
		return decimal.Decimal{}, New(InvalidQuery, "%s is a finite decimal number", what)
	}
	if parts[1] != "" {
		if exp, err := strconv.Atoi(parts[1]); err != nil || exp > maxMoneyExponent || exp < -maxMoneyExponent {
			return decimal.Decimal{}, New(InvalidQuery, "the exponent of %s lies within ±%d", what, maxMoneyExponent)
		}
	}
	d, err := decimal.NewFromString(text)
	if err != nil {
		return decimal.Decimal{}, New(InvalidQuery, "%s is a finite decimal number", what)
	}
	return d, nil
}

// MustMoney is [ParseMoney] for constants; it panics where that fails.
func MustMoney(text string) Money {
	m, err := ParseMoney(text)
	if err != nil {
		panic(err)
	}
	return m
}

// MoneyFromFloat takes the shortest decimal that means f: 0.1 is 0.1. NaN and
// the infinities are InvalidQuery.
func MoneyFromFloat(f float64) (Money, error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return Money{}, New(InvalidQuery, "an amount is a finite decimal number")
	}
	return ParseMoney(strconv.FormatFloat(f, 'g', -1, 64))
}

// Check refuses an amount of 10^12 or more, or of -10^12 or less.
func (m Money) Check() error {
	if m.amount.Abs().Cmp(moneyLimit) >= 0 {
		return New(InvalidQuery, "an amount lies between -10^12 and 10^12")
	}
	return nil
}

// Decimal gives the amount for calculations.
func (m Money) Decimal() decimal.Decimal { return m.amount }

// Add gives the sum.
func (m Money) Add(n Money) Money { return Money{m.amount.Add(n.amount)} }

// Cmp is -1, 0 or +1 as m is less than, equal to or greater than n.
func (m Money) Cmp(n Money) int { return m.amount.Cmp(n.amount) }

// Equal tells whether two amounts are the same number; 1.50 equals 1.5.
func (m Money) Equal(n Money) bool { return m.amount.Equal(n.amount) }

// IsNegative tells whether the amount is below 0.
func (m Money) IsNegative() bool { return m.amount.IsNegative() }

// IsZero tells whether the amount is 0.
func (m Money) IsZero() bool { return m.amount.IsZero() }

// String gives the amount without trailing zeros and without an exponent.
func (m Money) String() string { return m.amount.String() }

// MarshalJSON gives a JSON number without trailing zeros.
func (m Money) MarshalJSON() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalJSON takes a JSON number as [ParseMoney] does; null keeps the value.
func (m *Money) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		return nil
	}
	return m.UnmarshalText(data)
}

// MarshalText is String for flags and text formats.
func (m Money) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText is [ParseMoney] for flags and text formats.
func (m *Money) UnmarshalText(text []byte) error {
	parsed, err := ParseMoney(string(text))
	if err == nil {
		*m = parsed
	}
	return err
}
