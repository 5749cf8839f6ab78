package result_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
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
		printed      string
	}{
		{`{}`, true, false, "stored", result.Opt[string]{}, "[absent]"},
		{`{"name":null}`, false, true, "cleared", result.Null[string](), "[null]"},
		{`{"name":"new"}`, false, false, "new", result.Set("new"), "[set]"},
		{`{"name":""}`, false, false, "", result.Set(""), "[set]"},
	} {
		var p patch
		require.NoError(t, json.Unmarshal([]byte(test.in), &p), test.in)
		require.Equal(t, test.goForm, p.Name, test.in)
		require.Equal(t, test.absent, p.Name.IsZero(), test.in)
		require.Equal(t, test.null, p.Name.IsNull(), test.in)
		stored := "stored"
		p.Name.Apply(&stored, "cleared")
		require.Equal(t, test.applied, stored, test.in)
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
			require.Equal(t, test.printed, fmt.Sprintf(verb, p.Name), "it may be a secret")
		}
		require.Equal(t, test.printed, p.Name.LogValue().String())
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

// A logger makes JSON of what holds it.
func TestOptDoesNotGoOutAsJSON(t *testing.T) {
	t.Parallel()
	_, err := json.Marshal(patch{Name: result.Set("s3cret")})
	require.Error(t, err)
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("m", "list", []result.Opt[string]{result.Set("s3cret")}, "one", result.Set("s3cret"))
	require.NotContains(t, log.String(), "s3cret")
	out, err := json.Marshal([]any{patch{Name: result.Null[string]()}, result.Opt[int]{}})
	require.NoError(t, err)
	require.Equal(t, `[{"name":null},null]`, string(out))
}
