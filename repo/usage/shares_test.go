package usage

import (
	"testing"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed14a526e0/relaystore/repo/result"
)

func sharesOf(costs ...result.Money) []CostShare {
	shares := make([]CostShare, len(costs))
	for i, c := range costs {
		shares[i].Cost = c
	}
	setPercentages(shares)
	return shares
}

func TestPercentages(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ costs, want []string }{
		"none":                {nil, nil},
		"one":                 {[]string{"0.000000000001"}, []string{"100"}},
		"nothing":             {[]string{"0", "0"}, []string{"0", "0"}},
		"thirds":              {[]string{"1", "1", "1"}, []string{"33.34", "33.33", "33.33"}},
		"sevenths":            {[]string{"0.3", "0.3", "0.1"}, []string{"42.86", "42.86", "14.28"}},
		"one took most":       {[]string{"999999999999", "0.000000000001", "0"}, []string{"100", "0", "0"}},
		"a half is no matter": {[]string{"0.99995", "0.00005"}, []string{"100", "0"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var costs []result.Money
			for _, text := range c.costs {
				costs = append(costs, result.MustMoney(text))
			}
			var got []string
			for _, s := range sharesOf(costs...) {
				got = append(got, s.Percentage.String())
			}
			require.Equal(t, c.want, got)
		})
	}
}

// TestPercentagesSumUp has many costs of any size: the percentages are 100 together,
// and each is less than a hundredth from the exact one.
func TestPercentagesSumUp(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		var total decimal.Decimal
		var costs []result.Money
		for range rapid.IntRange(1, 300).Draw(rt, "n") {
			exponent := rapid.Int32Range(-12, 20).Draw(rt, "exponent")
			cost := result.NewMoney(decimal.New(rapid.Int64Range(0, 1e6).Draw(rt, "cost"), exponent))
			costs, total = append(costs, cost), total.Add(cost.Decimal())
		}
		var sum decimal.Decimal
		for _, s := range sharesOf(costs...) {
			sum = sum.Add(s.Percentage.Decimal())
			require.True(rt, s.Percentage.Decimal().Equal(s.Percentage.Decimal().Truncate(2)))
			off := s.Percentage.Decimal().Mul(total).Sub(s.Cost.Decimal().Shift(2)).Abs()
			require.True(rt, total.IsZero() || off.LessThan(total.Shift(-2)))
		}
		require.True(rt, total.IsZero() && sum.IsZero() || sum.Equal(decimal.NewFromInt(100)), sum)
	})
}

func TestChange(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ before, cost, want string }{
		{"0", "0", "0"}, {"0", "5", "0"}, {"5", "0", "-1"}, {"2", "3", "0.5"}, {"3", "2", "-0.333333333333"},
		{"2", "2.000000000001", "0"}, // a half of the last decimal goes to the even neighbour
		{"2", "2.000000000003", "0.000000000002"},
		{"2", "1.999999999997", "-0.000000000002"},
		{"0.000000000001", "999999999999", "999999999998999999999999"},
	} {
		require.Equal(t, c.want, changeFrom(result.MustMoney(c.before), result.MustMoney(c.cost)).String())
	}
}
