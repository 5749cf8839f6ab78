package result_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/repo/result"
)

func TestCheckDocument(t *testing.T) {
	t.Parallel()
	for _, doc := range []string{"", "null", " null ", "{}", ` [{"a":1},{"a":1}]`, `{"a":{"a":{"a":"a"}},"b":["a","a"],"A":1}`, `{"a":1e99}`} {
		require.NoError(t, result.CheckDocument("f", []byte(doc), 100, "{[", "array or object"), doc)
	}
	for _, doc := range []string{`1`, `"x"`, `{`, `[{"a":1,"a":1}]`, `{"x":{"a":[],"b":{},"a":null}}`, `{"a":1,"\u0061":2}`, `{"a":"` + nested(100) + `"}`} {
		requireRefused(t, result.CheckDocument("f", []byte(doc), 100, "{[", "array or object"), "f", doc)
	}
	requireRefused(t, result.CheckDocument("f", []byte("[]"), 100, "{", "object"), "f")
}

func TestAddMembers(t *testing.T) {
	t.Parallel()
	one := map[string]json.RawMessage{"a": json.RawMessage("1")}
	for extra, want := range map[string]string{"": `{"a":1}`, "null": `{"a":1}`, `{"b":{"a":1e9}}`: `{"a":1,"b":{"a":1e9}}`} {
		all, err := result.AddMembers(json.RawMessage(extra), one)
		require.NoError(t, err)
		require.Equal(t, want, string(all))
	}
	for extra, field := range map[string]string{`[]`: "extra", `1`: "extra", `{"b":1,"b":1}`: "extra", `{"b":{"c":1,"c":1}}`: "extra", `{"a":1}`: "a"} {
		_, err := result.AddMembers(json.RawMessage(extra), one)
		requireRefused(t, err, field, extra)
	}
}
