package result_test

import (
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// requireRefused wants a refusal of the input that names the field.
func requireRefused(t *testing.T, err error, field string, about ...any) {
	t.Helper()
	require.ErrorIs(t, err, result.InvalidQuery, about...)
	require.Equal(t, field, result.From(err).Field(), about...)
}

func TestCheckText(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "abc", "日本語日本", "\u007f\n\t", "\ufffd", strings.Repeat("é", 5)} {
		require.NoError(t, result.CheckText("name", text, 5), text)
	}
	for _, text := range []string{"abcdef", "a\x00b", "\xff", "a\xc3", "\xed\xa0\x80", strings.Repeat("é", 6)} {
		requireRefused(t, result.CheckText("name", text, 5), "name", text)
	}
}

func TestCheckAmount(t *testing.T) {
	t.Parallel()
	require.NoError(t, result.CheckAmount("cost", result.Money{}))
	require.NoError(t, result.CheckAmount("cost", result.MustMoney("999999999999.999999999999")))
	requireRefused(t, result.CheckAmount("cost", result.MustMoney("-0.000000000001")), "cost")
	large := result.MustMoney("999999999999").Add(result.MustMoney("1"))
	requireRefused(t, result.CheckAmount("cost", large), "cost")
}

func TestParseID(t *testing.T) {
	t.Parallel()
	id := uuid.New()
	for _, text := range []string{id.String(), strings.ToUpper(id.String())} {
		got, err := result.ParseID("id", text)
		require.NoError(t, err)
		require.Equal(t, id, got)
	}
	for _, text := range []string{
		"", "1", uuid.Nil.String(), strings.ReplaceAll(id.String(), "-", ""), "{" + id.String() + "}", "urn:uuid:" + id.String(),
		id.String() + " ", id.String()[1:], strings.Repeat("-", 36), "'; DROP TABLE api_keys; --xxxxxxxxxxx",
		strings.Replace(id.String(), "-", "_", 1), "gggggggg-0000-0000-0000-000000000000",
	} {
		_, err := result.ParseID("id", text)
		requireRefused(t, err, "id", text)
	}
}

// nested gives a document of n levels.
func nested(n int) string { return strings.Repeat(`[`, n) + strings.Repeat(`]`, n) }

// storable are documents at the edge of what CheckJSON takes.
var storable = []string{
	``, `{}`, `null`, `"text"`, nested(64), `{"a":` + nested(63) + `}`,
	`{"n":1e999,"m":-1.5E+12,"z":1e-999}`, strings.Repeat("9", 999), `0.` + strings.Repeat("1", 999),
	`{"text":"1e99999 ` + strings.Repeat("9", 2000) + `"}`, `{"1e99999":0}`,
	`"\\u0000"`, `"\\ud800"`, `"\ud83d\ude00"`, `"\uD83D\uDE00 \u00e9 \/ \\"`, `"\\\\ud83d"`, `"\ufffd"`,
}

func TestCheckJSON(t *testing.T) {
	t.Parallel()
	for _, doc := range storable {
		require.NoError(t, result.CheckJSON("extra", []byte(doc), 4096), doc)
	}
	for _, doc := range []string{
		`{`, `{}{}`, `{"a":1}}`, `{"a" 1}`, `nul`, `'a'`, `{a:1}`, `[1,]`, ` `, "\"\x01\"",
		nested(65), `{"a":` + nested(64) + `}`,
		`"\u0000"`, `{"a\u0000b":1}`, `[["\u0000"]]`,
		"\"\xff\"", `"\ud800"`, `"\udc00"`, `"\ude00\ud83d"`, `{"\ud83d":1}`, `"\ud83d\ud83d"`, `"\\\ud800"`,
		`1e1000`, `[-1E+99999]`, `1e-100000000`, strings.Repeat("9", 1000), `0.` + strings.Repeat("1", 1000),
		`"` + strings.Repeat("a", 4095) + `"`,
	} {
		requireRefused(t, result.CheckJSON("extra", []byte(doc), 4096), "extra", doc)
	}
}

// PostgreSQL must take whatever CheckJSON takes.
func TestCheckedJSONIsStorable(t *testing.T) {
	t.Parallel()
	pool := testdb.Pool(t, testdb.EmptyURL(t))
	for _, doc := range storable[1:] {
		var length int
		err := pool.QueryRow(t.Context(), "SELECT length($1::jsonb::text)", doc).Scan(&length)
		require.NoError(t, err, "%.80s", doc)
	}
}
