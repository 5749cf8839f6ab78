package result_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/repo/result"
)

type inner struct {
	Depth int `json:"depth"`
}

func (i *inner) UnmarshalJSON(data []byte) error {
	type plain inner
	return result.DecodeStrict(data, (*plain)(i))
}

type base struct {
	Name string `json:"name"`
	Kind string `json:"kind"`
}

type input struct {
	base

	Kind    int64              `json:"kind"` // goes before base's
	Active  *bool              `json:"active,omitempty"`
	Cost    result.Money       `json:"cost"`
	Limit   result.Opt[int64]  `json:"limit,omitzero"`
	Tags    []string           `json:"tags"`
	Inner   inner              `json:"inner"`
	Free    json.RawMessage    `json:"free"`
	Ratio   float64            `json:"ratio"`
	Hidden  string             `json:"-"`
	Untaken string             //nolint:unused // has no JSON name
	Note    result.Opt[string] `json:"note,omitzero"`
}

func TestDecode(t *testing.T) {
	t.Parallel()
	var in input
	unknown, err := result.Decode([]byte(` {"name":"é\ud83d\ude00","kind":7,"active":false,"cost":1.50,"limit":null,"tags":["a"],
		"inner":{"depth":2},"free":{"x":[1]},"extra":{"deep":[1,2]},"Hidden":1,"Untaken":"x"} `), &in)
	require.NoError(t, err)
	require.Equal(t, "é😀", in.Name)
	require.EqualValues(t, 7, in.Kind)
	require.Empty(t, in.base.Kind)
	require.False(t, *in.Active)
	require.Equal(t, "1.5", in.Cost.String())
	require.True(t, in.Limit.IsNull())
	require.True(t, in.Note.IsZero())
	require.Equal(t, 2, in.Inner.Depth)
	require.JSONEq(t, `{"x":[1]}`, string(in.Free))
	require.Equal(t, map[string]json.RawMessage{
		"extra": json.RawMessage(`{"deep":[1,2]}`), "Hidden": json.RawMessage(`1`), "Untaken": json.RawMessage(`"x"`),
	}, unknown)
	require.Empty(t, in.Hidden)
	require.Empty(t, in.Untaken)
}

func TestDecodeNamesTheField(t *testing.T) {
	t.Parallel()
	for doc, field := range map[string]string{
		`{"name":1}`:                        "name",
		`{"kind":"a"}`:                      "kind",
		`{"kind":1.5}`:                      "kind",
		`{"kind":1e3}`:                      "kind",
		`{"kind":9223372036854775808}`:      "kind",
		`{"ratio":1e999}`:                   "ratio",
		`{"active":"true"}`:                 "active",
		`{"cost":"1"}`:                      "cost",
		`{"cost":1e999999999}`:              "cost",
		`{"limit":"x"}`:                     "limit",
		`{"limit":{}}`:                      "limit",
		`{"tags":"a"}`:                      "tags",
		`{"tags":["a",{}]}`:                 "tags",
		`{"inner":{"depth":"x"}}`:           "inner.depth",
		`{"inner":{"other":1}}`:             "inner.other",
		`{"inner":[]}`:                      "inner",
		`{"name":"a","name":"a"}`:           "name",
		`{"na\u006de":"a","name":"b"}`:      "name",
		`{"x":1,"x":1}`:                     "x",
		`{"Name":"a"}`:                      "Name",
		`{"TAGS":[]}`:                       "TAGS",
		`{"ratıo":1,"RATIO":1}`:             "RATIO",
		"{\"name\":\"\xff\"}":               "name",
		`{"name":"\ud800"}`:                 "name",
		`{"name":"\udc00\ud800"}`:           "name",
		`{"tags":["a","\uD83D"]}`:           "tags",
		`{"free":{"\ud83d":1}}`:             "free",
		`{"unknown":"\ud800"}`:              "unknown",
		"{\"unknown\":\"\xff\"}":            "unknown",
		`{"name":`:                          "name",
		`{"name":tru}`:                      "name",
		`{"name" "a"}`:                      "name",
		`{"kind":"a","cost":"b","name":1}`:  "cost", // the first by name, each time
		`{"unknown":1,"ratio":[],"zzz":{}}`: "ratio",
	} {
		_, err := result.Decode([]byte(doc), &input{})
		requireRefused(t, err, field, doc)
		require.Contains(t, result.From(err).Message, field, doc)
	}
}

func TestDecodeRefusesWhatIsNoObject(t *testing.T) {
	t.Parallel()
	for _, doc := range []string{
		``, ` `, `null`, `[]`, `1`, `"{}"`, `{`, `{]`, `{}}`, `{}]`, `{} {}`, `{"name":"a"}}`, `{"name":"a"} x`, `{1:2}`, `{"name":"a",}`,
		`{,}`, `{"name":"a" "kind":1}`, `{name:1}`, "{\"\xff\":1}", `{"\ud800":1}`, `{"\ud800":1,"\udbff":2}`, "\xef\xbb\xbf{}",
	} {
		_, err := result.Decode([]byte(doc), &input{})
		requireRefused(t, err, "", doc)
	}
}

func TestDecodeStrict(t *testing.T) {
	t.Parallel()
	require.NoError(t, result.DecodeStrict([]byte(`{"name":"a"}`), &input{}))
	require.NoError(t, result.DecodeStrict([]byte(`{}`), &input{}))
	for range 20 { // the first by name, each time
		requireRefused(t, result.DecodeStrict([]byte(`{"name":"a","other":1,"more":2,"zzz":3}`), &input{}), "more")
	}
	requireRefused(t, result.DecodeStrict([]byte(`{"hidden":1}`), &input{}), "hidden")
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"name":"a","kind":1,"cost":1.5,"limit":null,"tags":["a"],"inner":{"depth":1},"extra":[1]}`, `{"name":"\ud800"}`,
		`{"name":"a","name":"b"}`, `{}}`, "{\"\xff\":0}", `{"inner":{"inner":{}}}`, `{"cost":1e999999999}`, `[`, `{"Name":1}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		var in input
		unknown, err := result.Decode(doc, &in)
		if err != nil {
			require.ErrorIs(t, err, result.InvalidQuery)
			return
		}
		require.True(t, json.Valid(doc))
		var all map[string]json.RawMessage
		require.NoError(t, json.Unmarshal(doc, &all))
		for name, raw := range unknown {
			require.True(t, json.Valid(raw))
			require.Contains(t, all, name)
		}
		_, err = json.Marshal(in.Tags)
		require.NoError(t, err)
		require.NoError(t, in.Cost.Check())
		if len(unknown) == 0 {
			require.NoError(t, result.DecodeStrict(doc, &input{}))
		} else {
			require.ErrorIs(t, result.DecodeStrict(doc, &input{}), result.InvalidQuery)
		}
	})
}
