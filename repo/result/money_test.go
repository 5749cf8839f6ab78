package result_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed14a526e0/relaystore/repo/result"
)

func TestParseMoney(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"0": "0", "-0": "0", "0.000": "0", "1": "1", "-1.5": "-1.5",
		"1.50":                        "1.5",
		"0.000000000001":              "0.000000000001",
		"1e2":                         "100",
		"1E+2":                        "100",
		"15e-1":                       "1.5",
		"1e11":                        "100000000000",
		"1e-12":                       "0.000000000001",
		"1e-13":                       "0",
		"1e-64":                       "0",
		"0e64":                        "0",
		"999999999999.999999999999":   "999999999999.999999999999",
		"-999999999999.999999999999":  "-999999999999.999999999999",
		"999999999999.9999999999994":  "999999999999.999999999999",
		"0.1234567890120000000000001": "0.123456789012",
		"0.30000000000000004":         "0.3",
	} {
		m, err := result.ParseMoney(text)
		require.NoError(t, err, text)
		require.Equal(t, want, m.String(), text)
	}
}

func TestMoneyRoundsHalfToEven(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"0.0000000000005":         "0",
		"0.0000000000015":         "0.000000000002",
		"0.0000000000025":         "0.000000000002",
		"0.0000000000035":         "0.000000000004",
		"-0.0000000000005":        "0",
		"-0.0000000000015":        "-0.000000000002",
		"-0.0000000000025":        "-0.000000000002",
		"0.00000000000050001":     "0.000000000001",
		"0.0000000000024999":      "0.000000000002",
		"1.0000000000005":         "1",
		"123456.7890000000000005": "123456.789",
		"123456.7890000000005":    "123456.789",
		"123456.7890000000015":    "123456.789000000002",
	} {
		require.Equal(t, want, result.MustMoney(text).String(), text)
	}
}

func TestParseMoneyRefuses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", " ", "NaN", "nan", "Inf", "-Infinity", "+1", "1.", ".5", "1,5", "1_000", "0x10", "1e", "1e1.5", " 1", "1 ", "1\n",
		`"1.5"`, "true", "null", "--1", "１", "1\x00",
		"1e999999999", "1e-999999999", "1e9223372036854775808", "1e65", "1e-65",
		"1e12", "-1e12", "1000000000000", "999999999999.9999999999995",
		strings.Repeat("0", 65), "0." + strings.Repeat("0", 63),
	} {
		_, err := result.ParseMoney(text)
		require.ErrorIs(t, err, result.InvalidQuery, text)
		require.Panics(t, func() { result.MustMoney(text) }, text)
		var m result.Money
		require.Error(t, m.UnmarshalText([]byte(text)), text)
		require.True(t, m.IsZero())
	}
}

func TestMoneyFromFloat(t *testing.T) {
	t.Parallel()
	for f, want := range map[float64]string{
		0.1: "0.1", 0.1 + 0.2: "0.3", 1e-7: "0.0000001", 123456.789: "123456.789", -2.5: "-2.5", 1e11: "100000000000",
		math.Copysign(0, -1): "0", 1.0 / 3: "0.333333333333", 1e-60: "0",
	} {
		m, err := result.MoneyFromFloat(f)
		require.NoError(t, err, f)
		require.Equal(t, want, m.String(), f)
	}
	for _, f := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), 1e12, math.MaxFloat64} {
		_, err := result.MoneyFromFloat(f)
		require.ErrorIs(t, err, result.InvalidQuery, f)
	}
}

func TestMoneyJSON(t *testing.T) {
	t.Parallel()
	type priced struct {
		Cost result.Money `json:"cost"`
	}
	for in, want := range map[string]string{
		`{"cost":1.500}`: `{"cost":1.5}`, `{"cost":1e-12}`: `{"cost":0.000000000001}`, `{"cost":1e11}`: `{"cost":100000000000}`,
		`{"cost":-0.0}`: `{"cost":0}`, `{}`: `{"cost":0}`, `{"cost":null}`: `{"cost":0}`,
	} {
		var p priced
		require.NoError(t, json.Unmarshal([]byte(in), &p), in)
		out, err := json.Marshal(p)
		require.NoError(t, err)
		require.Equal(t, want, string(out), in)
	}
	for _, in := range []string{`{"cost":"1.5"}`, `{"cost":1e999999999}`, `{"cost":true}`, `{"cost":[1]}`, `{"cost":{}}`} {
		require.ErrorIs(t, json.Unmarshal([]byte(in), &priced{}), result.InvalidQuery, in)
	}
}

func TestMoneyCompares(t *testing.T) {
	t.Parallel()
	a, b := result.MustMoney("1.50"), result.NewMoney(decimal.New(15, -1))
	require.True(t, a.Equal(b))
	require.Zero(t, a.Cmp(b))
	require.Equal(t, -1, result.Money{}.Cmp(a))
	require.True(t, result.Money{}.IsZero())
	require.True(t, result.MustMoney("-0.1").IsNegative())
	require.Equal(t, "1.5", a.Decimal().String())
	text, err := a.MarshalText()
	require.NoError(t, err)
	require.Equal(t, "1.5", string(text))
	sum := result.MustMoney("999999999999").Add(result.MustMoney("1"))
	require.Equal(t, "1000000000000", sum.String())
	require.ErrorIs(t, sum.Check(), result.InvalidQuery)
}

// anyMoney draws amounts of up to 12 + 12 digits.
func anyMoney(t *rapid.T, label string) result.Money {
	whole := rapid.Int64Range(-999_999_999_999, 999_999_999_999).Draw(t, label+" whole")
	parts := rapid.Int64Range(0, 999_999_999_999).Draw(t, label+" decimals")
	return result.NewMoney(decimal.New(whole, 0)).Add(result.NewMoney(decimal.New(parts, -12)))
}

func TestMoneyRoundTrips(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := anyMoney(t, "m")
		text := m.String()
		back, err := result.ParseMoney(text)
		require.NoError(t, err)
		require.True(t, back.Equal(m))
		require.Equal(t, text, back.String())
		require.NotContains(t, strings.ToLower(text), "e")
		if strings.Contains(text, ".") {
			require.NotEqual(t, byte('0'), text[len(text)-1])
		}
		doc, err := json.Marshal(m)
		require.NoError(t, err)
		require.Equal(t, text, string(doc))
	})
}

func TestMoneySumsAreExact(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		amounts := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) result.Money { return anyMoney(t, "m") }), 0, 50).Draw(t, "amounts")
		var forth, back result.Money
		exact := decimal.Zero
		for i, m := range amounts {
			forth, back = forth.Add(m), back.Add(amounts[len(amounts)-1-i])
			exact = exact.Add(m.Decimal())
		}
		require.True(t, forth.Equal(back))
		require.True(t, forth.Decimal().Equal(exact))
		require.Equal(t, forth.String(), back.String())
	})
}

func FuzzMoney(f *testing.F) {
	for _, seed := range []string{"0", "-1.5", "1e2", "1e999999999", "1e-999999999", "0.0000000000025", "NaN", `"1"`, "999999999999.9999999999999", "-0e64"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		m, err := result.ParseMoney(text)
		if err != nil {
			require.ErrorIs(t, err, result.InvalidQuery)
			require.NotErrorIs(t, err, result.Internal)
			return
		}
		require.NoError(t, m.Check())
		back, err := result.ParseMoney(m.String())
		require.NoError(t, err)
		require.True(t, back.Equal(m))
		require.True(t, json.Valid([]byte(m.String())))
		given, err := decimal.NewFromString(text)
		require.NoError(t, err)
		require.LessOrEqual(t, given.Sub(m.Decimal()).Abs().Cmp(decimal.New(5, -13)), 0)
	})
}
