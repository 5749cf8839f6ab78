package result_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/repo/result"
)

type patch struct {
	Name  result.Opt[string]   `json:"name,omitzero"`
	Limit result.Opt[int64]    `json:"limit,omitzero"`
	Tags  result.Opt[[]string] `json:"tags,omitzero"`
}

func TestOptTellsAbsentFromNull(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		in           string
		absent, null bool
		applied      string
		goForm       result.Opt[string]
		marshalled   string
	}{
		{`{}`, true, false, "stored", result.Opt[string]{}, `{}`},
		{`{"name":null}`, false, true, "cleared", result.Null[string](), `{"name":null}`},
		{`{"name":"new"}`, false, false, "new", result.Set("new"), `{"name":"new"}`},
		{`{"name":""}`, false, false, "", result.Set(""), `{"name":""}`},
	} {
		var p patch
		require.NoError(t, json.Unmarshal([]byte(test.in), &p), test.in)
		require.Equal(t, test.goForm, p.Name, test.in)
		require.Equal(t, test.absent, p.Name.IsZero(), test.in)
		require.Equal(t, test.null, p.Name.IsNull(), test.in)
		stored := "stored"
		p.Name.Apply(&stored, "cleared")
		require.Equal(t, test.applied, stored, test.in)
		out, err := json.Marshal(p)
		require.NoError(t, err)
		require.Equal(t, test.marshalled, string(out))
	}
}

func TestOptRefusesWrongTypes(t *testing.T) {
	t.Parallel()
	for _, in := range []string{`{"name":1}`, `{"limit":"1"}`, `{"limit":1.5}`, `{"tags":["a",1]}`} {
		var p patch
		require.Error(t, json.Unmarshal([]byte(in), &p), in)
		require.Equal(t, patch{}, p, in)
	}
}

func TestOptWithoutOmitzeroIsNull(t *testing.T) {
	t.Parallel()
	out, err := json.Marshal([]result.Opt[int]{{}, result.Null[int](), result.Set(0)})
	require.NoError(t, err)
	require.JSONEq(t, `[null,null,0]`, string(out))
}
