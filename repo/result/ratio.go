package result

import "github.com/shopspring/decimal"

// Ratio is an exact decimal that is no amount, such as a percentage. In JSON it is
// a number without trailing zeros, never a string. The zero value is 0.
type Ratio struct{ value decimal.Decimal }

// NewRatio takes a decimal as it is.
func NewRatio(d decimal.Decimal) Ratio { return Ratio{d} }

// Decimal gives the number for calculations.
func (r Ratio) Decimal() decimal.Decimal { return r.value }

// Equal tells whether two ratios are the same number; 1.50 equals 1.5.
func (r Ratio) Equal(n Ratio) bool { return r.value.Equal(n.value) }

// String gives the number without trailing zeros and without an exponent.
func (r Ratio) String() string { return r.value.String() }

// MarshalJSON gives a JSON number without trailing zeros.
func (r Ratio) MarshalJSON() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalJSON takes a JSON number of at most 64 characters and an exponent of at
// most ±64; null keeps the value. Anything else is InvalidQuery.
func (r *Ratio) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		return nil
	}
	d, err := parseNumber("a ratio", string(data))
	if err == nil {
		r.value = d
	}
	return err
}
