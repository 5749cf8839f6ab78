package legacy

import (
	"strconv"
	"strings"

	"github.com/shopspring/decimal"
)

const (
	// Decimals is how many an amount keeps: Redis adds in binary and leaves noise
	// behind the 16th digit, so that 17.000122355 is 17.00012235499999998.
	Decimals = 12

	maxAmountText     = 64
	maxAmountExponent = 40
)

// ParseDecimal reads a number of bounded size, as JavaScript or Redis print it:
// "0.041441", "1e-7". NaN, the infinities and other texts are none.
func ParseDecimal(text string) (decimal.Decimal, bool) {
	if text == "" || len(text) > maxAmountText {
		return decimal.Zero, false
	}
	if at := strings.IndexAny(text, "eE"); at >= 0 {
		if exp, err := strconv.Atoi(text[at+1:]); err != nil || exp > maxAmountExponent || exp < -maxAmountExponent {
			return decimal.Zero, false
		}
	}
	d, err := decimal.NewFromString(text)
	return d, err == nil
}

// maxAmount is more than anybody pays.
var maxAmount = decimal.New(1, 12)

// ParseAmount reads US dollars, without the noise: rounded half-even to Decimals. A
// negative amount is none.
func ParseAmount(text string) (decimal.Decimal, bool) {
	d, ok := ParseDecimal(text)
	if !ok {
		return decimal.Zero, false
	}
	d = d.RoundBank(Decimals)
	return d, !d.IsNegative() && d.Cmp(maxAmount) < 0
}
