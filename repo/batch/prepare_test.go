package batch_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/repo/batch"
	"github.com/seed14a526e0/relaystore/repo/result"
)

func TestPrepareRefuses(t *testing.T) {
	t.Parallel()
	here, long := m{"id": id(1)}, strings.Repeat("x", 64)
	for i, c := range []struct {
		field string
		op    batch.Operation
	}{
		{"type", batch.Operation{Table: "things"}},
		{"type", batch.Operation{Type: "CREATE", Table: "things"}},
		{"table", batch.Operation{Type: batch.Create}},
		{"table", batch.Operation{Type: batch.Create, Table: "Things"}},
		{"table", batch.Operation{Type: batch.Delete, Table: "things; DROP TABLE things", Where: here}},
		{"where", batch.Operation{Type: batch.Create, Table: "things", Where: here}},
		{"data", batch.Operation{Type: batch.Delete, Table: "things", Data: m{"big": 1}, Where: here}},
		{"data", update(nil, here)},
		{"where", update(m{"big": 1}, nil)},
		{"where", drop(m{})},
		{"id", update(m{"id": id(2)}, here)},
		{"nothing", update(m{"nothing": 1}, here)},
		{"NAME", update(m{"NAME": "x"}, here)},
		{`name" = 'x', "big`, update(m{`name" = 'x', "big`: 1}, here)},
		{"data", update(m{long: 1}, here)},
		{"data", update(m{"a\xff": 1}, here)},
		{"where", drop(m{"": 1})},
		{"big", update(m{"big": "1"}, here)},
		{"big", update(m{"big": 1.5}, here)},
		{"small", update(m{"small": 1 << 20}, here)},
		{"name", update(m{"name": 1}, here)},
		{"name", update(m{"name": "a\xff"}, here)},
		{"name", update(m{"name": json.RawMessage(`"a`)}, here)},
		{"name", update(m{"name": json.RawMessage(``)}, here)},
		{"name", update(m{"name": json.RawMessage(`"\ud800"`)}, here)},
		{"price", update(m{"price": "1"}, here)},
		{"price", update(m{"price": math.NaN()}, here)},
		{"price", update(m{"price": json.RawMessage("1e99")}, here)},
		{"at", update(m{"at": "yesterday"}, here)},
		{"enabled", update(m{"enabled": 1}, here)},
		{"tags", update(m{"tags": "x"}, here)},
		{"id", drop(m{"id": "x"})},
		{"id", drop(m{"id": 1})},
		{"id", drop(m{"id": m{}})},
		{"id", drop(m{"id": m{"like": "%"}})},
		{"id", drop(m{"id": m{"lt": id(1)}})},
		{"id", drop(m{"id": m{"in": nil}})},
		{"id", drop(m{"id": m{"in": id(1)}})},
		{"id", drop(m{"id": m{"in": []any{id(1), nil}}})},
		{"name", drop(m{"name": m{"in": []any{"x", nil}}})},
		{"id", drop(m{"id": m{"in": []any{id(1), "x"}}})},
		{"id", drop(m{"id": m{"in": make([]any, 10_001)}})},
		{"id", drop(m{"id": []string{id(1)}})},
		{"name", drop(m{"name": m{"lt": "x"}})},
		{"name", drop(m{"name": "a\x00"})},
		{"name", drop(m{"name": json.RawMessage(`{"eq":"a","eq":"b"}`)})},
		{"small", drop(m{"small": 40_000})},
		{"big", drop(m{"big": m{"lt": nil}})},
		{"big", drop(m{"big": 1e30})},
		{"price", drop(m{"price": true})},
		{"at", drop(m{"at": m{"lt": "0000-01-01T00:00:00Z"}})},
		{"at", drop(m{"at": m{"lt": time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)}})},
		{"price", drop(m{"price": json.RawMessage("0.0000000000004")})},
		{"price", drop(m{"price": m{"in": []any{1, json.RawMessage("1e-13")}}})},
		{"price", drop(m{"price": m{"gt": json.RawMessage("0.1234567890129")}})},
		{"price", drop(m{"price": "1"})},
		{"at", drop(m{"at": "2025-09-16T08:00:00.0000009Z"})},
		{"at", drop(m{"at": m{"lt": time.Unix(0, 1)}})},
		{"name", drop(m{"name": `\\` + "\xff"})},
		{"name", drop(m{"name": "\xff"})},
		{"tags", update(m{"tags": []string{"x", "\xff"}}, here)},
		{"token", drop(m{"token": "xyz"})},
		{"token", drop(m{"token": strings.Repeat("00", 600)})},
		{"tags", drop(m{"tags": []string{"x"}})},
		{"doc", drop(m{"doc": 1})},
		{"doc", drop(m{"doc": m{"in": []int{1}}})},
	} {
		_, err := batch.Prepare(bundle{}.domains(), []batch.Operation{drop(here), c.op})
		require.Error(t, err, "%d: %v", i, c.op)
		requireRefused(t, err, result.InvalidQuery, 1, c.field)
	}
}

// What looks like a value that is refused.
func TestPrepareTakes(t *testing.T) {
	t.Parallel()
	for _, where := range []m{
		{"name": `C:\ufffd`}, {"name": `\\ufffd`}, {"name": "\ufffd"}, {"name": m{"in": []string{`\ufffd`, `"\ufffd"`}}},
		{"price": json.RawMessage("0.1000000000000000")}, {"price": json.RawMessage("1e-12")}, {"price": json.RawMessage("-0")}, {"price": 0.1},
		{"at": "2025-09-16T08:00:00.000001000Z"},
	} {
		_, err := batch.Prepare(bundle{}.domains(), []batch.Operation{drop(where)})
		require.NoError(t, err, "%v", where)
	}
}

func TestPrepareIsBounded(t *testing.T) {
	t.Parallel()
	_, err := batch.Prepare(bundle{}.domains(), make([]batch.Operation, batch.MaxOperations+1))
	require.ErrorIs(t, err, result.InvalidQuery)
	require.Equal(t, "operations", result.From(err).Field())
}

func TestOperationJSON(t *testing.T) {
	t.Parallel()
	var op batch.Operation
	require.NoError(t, json.Unmarshal([]byte(`{"type":"update","table":"t","data":{"a":1e400},"where":null}`), &op))
	require.Equal(t, batch.Operation{Type: "update", Table: "t", Data: m{"a": json.RawMessage("1e400")}}, op)
	for doc, field := range map[string]string{
		`{"table":"t"}`: "type", `{"type":"delete"}`: "table", `{"type":"delete","table":"t","x":1}`: "x",
		`{"type":"delete","table":"t","where":[]}`: "where", `{"type":"delete","table":"t","where":{"a":1,"a":2}}`: "where",
		`{"type":"delete","table":"t","Where":{}}`: "Where", `{"type":"delete","table":"t","data":"x"}`: "data", `{"type":7,"table":"t"}`: "type",
	} {
		err := json.Unmarshal([]byte(doc), &op)
		require.ErrorIs(t, err, result.InvalidQuery, doc)
		require.True(t, strings.HasPrefix(result.From(err).Field(), field), "%s: %v", doc, err)
	}
}

func TestResultJSON(t *testing.T) {
	t.Parallel()
	for want, r := range map[string]batch.Result{
		`{"success":true,"results":[]}`:                batch.Of(nil, nil),
		`{"success":true,"results":[{"ids":["a"]},1]}`: batch.Of([]any{batch.Affected{IDs: []string{"a"}}, 1}, nil),
		`{"success":false,"results":[],"error":"f: w","code":"DB_INVALID_QUERY","details":{"field":"f"}}`: batch.Of([]any{1}, result.Invalid("f", "w")),
	} {
		doc, err := json.Marshal(r)
		require.NoError(t, err)
		require.JSONEq(t, want, string(doc))
	}
	results, err := batch.Of([]any{1}, result.Invalid("f", "w")).Get()
	require.ErrorIs(t, err, result.InvalidQuery)
	require.Nil(t, results)
}
