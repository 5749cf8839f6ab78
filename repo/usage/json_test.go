package usage

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/repo/result"
)

const document = `{"apiKeyId":"11111111-1111-4111-8111-111111111111","accountType":"claude","model":"m",` +
	`"inputTokens":3,"outputTokens":4,"totalTokens":7,"cost":0.001,"requestCount":1,"timestamp":"2025-09-16T08:00:00.000Z"}`

// TestRecordRefusesJSON changes one member of a good document at a time.
func TestRecordRefusesJSON(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, old, bad, field string }{
		{"NaN", `"cost":0.001`, `"cost":NaN`, "cost"},
		{"Infinity", `"cost":0.001`, `"cost":Infinity`, "cost"},
		{"negative infinity", `"cost":0.001`, `"cost":-Infinity`, "cost"},
		{"an exponent that costs memory", `"cost":0.001`, `"cost":1e999999999`, "cost"},
		{"an exponent that vanishes", `"cost":0.001`, `"cost":1e-999999999`, "cost"},
		{"digits without end", `"cost":0.001`, `"cost":0.` + strings.Repeat("1", 100_000), "cost"},
		{"an amount as text", `"cost":0.001`, `"cost":"1.5"`, "cost"},
		{"NaN as text", `"cost":0.001`, `"cost":"NaN"`, "cost"},
		{"an amount as object", `"cost":0.001`, `"cost":{}`, "cost"},
		{"an amount too large", `"cost":0.001`, `"cost":1e12`, "cost"},
		{"half a token", `"inputTokens":3`, `"inputTokens":1.5`, "inputTokens"},
		// A whole number in another spelling: JavaScript never prints it so.
		{"tokens with an exponent", `"inputTokens":3`, `"inputTokens":1e3`, "inputTokens"},
		{"tokens with decimals", `"inputTokens":3`, `"inputTokens":3.0`, "inputTokens"},
		{"tokens beyond int64", `"outputTokens":4`, `"outputTokens":9223372036854775808`, "outputTokens"},
		{"tokens as text", `"totalTokens":7`, `"totalTokens":"7"`, "totalTokens"},
		{"a count as truth", `"requestCount":1`, `"requestCount":true`, "requestCount"},
		{"a number for a text", `"model":"m"`, `"model":5`, "model"},
		{"a list for a text", `"model":"m"`, `"model":["m"]`, "model"},
		{"half a character", `"model":"m"`, `"model":"\ud83d"`, "model"},
		{"broken UTF-8", `"model":"m"`, "\"model\":\"\xff\"", "model"},
		{"a number for an id", `"apiKeyId":"11111111-1111-4111-8111-111111111111"`, `"apiKeyId":1`, "apiKeyId"},
		{"a date", `"timestamp":"2025-09-16T08:00:00.000Z"`, `"timestamp":"2025-09-16"`, "timestamp"},
		{"milliseconds", `"timestamp":"2025-09-16T08:00:00.000Z"`, `"timestamp":1757980800000`, "timestamp"},
		{"an unknown member", `"model":"m"`, `"model":"m","tokens":1`, "tokens"},
		{"a member in other letters", `"model":"m"`, `"Model":"m"`, "Model"},
		{"a member twice", `"model":"m"`, `"model":"m","model":"n"`, "model"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			require.Contains(t, document, c.old)
			spoiled := strings.Replace(document, c.old, c.bad, 1)
			var r Record
			requireRefused(t, r.UnmarshalJSON([]byte(spoiled)), result.InvalidQuery, c.field)
			require.Error(t, json.Unmarshal([]byte(spoiled), &r))
		})
	}
}

func TestRecordRefusesWhatIsNoObject(t *testing.T) {
	t.Parallel()
	for _, text := range []string{``, `null`, `[]`, `"x"`, `1`, `{`, `{"model"`, document + `{}`} {
		var r Record
		require.ErrorIs(t, r.UnmarshalJSON([]byte(text)), result.InvalidQuery, text)
	}
}

// TestRecordInJSON reads what it prints.
func TestRecordInJSON(t *testing.T) {
	t.Parallel()
	var r Record
	require.NoError(t, json.Unmarshal([]byte(document), &r))
	printed, err := json.Marshal(r)
	require.NoError(t, err)
	require.JSONEq(t, document, string(printed))
}

func TestQueryInJSON(t *testing.T) {
	t.Parallel()
	const query = `{"apiKeyId":"11111111-1111-4111-8111-111111111111","startDate":"2025-09-16T08:00:00.000Z",` +
		`"endDate":"2025-09-17T08:00:00.500Z","granularity":"hour","groupBy":"apikey","timeZone":"Asia/Shanghai"}`
	var q StatsQuery
	require.NoError(t, json.Unmarshal([]byte(query), &q))
	printed, err := json.Marshal(q)
	require.NoError(t, err)
	require.JSONEq(t, query, string(printed))
	for bad, field := range map[string]string{
		`{"startDate":"yesterday"}`: "startDate", `{"granularity":1}`: "granularity", `{"timezone":"UTC"}`: "timezone",
		`{"limit":1}`: "limit", `{"endDate":null,"endDate":null}`: "endDate",
	} {
		requireRefused(t, q.UnmarshalJSON([]byte(bad)), result.InvalidQuery, field)
	}
}

func TestCostQueryInJSON(t *testing.T) {
	t.Parallel()
	const query = `{"apiKeyId":"11111111-1111-4111-8111-111111111111","startDate":"2025-09-16T08:00:00.000Z",` +
		`"endDate":"2025-09-17T08:00:00.500Z","groupBy":"account","timeZone":"Asia/Shanghai"}`
	var q CostQuery
	require.NoError(t, json.Unmarshal([]byte(query), &q))
	printed, err := json.Marshal(q)
	require.NoError(t, err)
	require.JSONEq(t, query, string(printed))
	for bad, field := range map[string]string{
		`{"startDate":"yesterday"}`: "startDate", `{"groupBy":1}`: "groupBy", `{"granularity":"day"}`: "granularity",
		`{"timeZone":"a","timeZone":"b"}`: "timeZone", `{"apiKeyId":["1"]}`: "apiKeyId",
	} {
		requireRefused(t, q.UnmarshalJSON([]byte(bad)), result.InvalidQuery, field)
	}
}
