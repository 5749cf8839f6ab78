package sessions_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed14a526e0/relaystore/repo/sessions"
)

// documents are what JSONB would change: spaces, order, digits, signs, escapes.
var documents = []string{
	`{}`, " {\n\t}\r\n", `{"b": 1, "a" : 2}`, `{"n":1.50,"e":1E2,"z":-0,"l":123456789012345678901234567890,"f":1e400,"d":0.1000000000000000055511151231257827}`,
	`{"<a href='x'>&amp;":"\u003c\/ \u2028  "}`, `{"爱":"\u0061\ud83d\ude00😀","":null}`, `{"a":[[],{},[{"a":{"a":1}}],true,false,null,""]}`,
	strings.Repeat(`{"a":`, 63) + "{}" + strings.Repeat("}", 63),
}

func (b *bundle) withData(doc string) string {
	data := alice()
	data.SessionData = json.RawMessage(doc)
	return b.create(data)
}

// What goes in comes out, byte by byte: from PostgreSQL, from the process's table
// and from Redis.
func TestDataComesOutAsItWentIn(t *testing.T) {
	b := setup(t)
	docs := append([]string{strings.Repeat(" ", sessions.KeptData-2) + "{}"}, documents...)
	for _, doc := range docs {
		token := b.withData(doc)
		require.Equal(t, doc, string(b.says(b.process, token).SessionData))
		b.warm(b.process, token)
		require.Equal(t, doc, string(b.says(b.process, token).SessionData))
		require.NoError(t, b.UpdateSession(b.ctx(), token, sessions.Patch{SessionData: json.RawMessage(`{"other":1}`)}).Err())
		require.NoError(t, b.UpdateSession(b.ctx(), token, sessions.Patch{SessionData: json.RawMessage(doc)}).Err())
		require.Equal(t, doc, string(b.says(b.process, token).SessionData))
	}
}

func TestDataComesOutOfRedisAsItWentIn(t *testing.T) {
	b := setup(t)
	doc := strings.Join(documents[:1], "")
	for i, d := range documents[1:7] {
		doc = strings.TrimSuffix(doc, "}")
		if i > 0 {
			doc += ",\n "
		}
		doc += fmt.Sprintf(`"%d": %s}`, i, d)
	}
	token := b.withData(doc)
	b.fillRedis(token)
	third := b.open(b.cfg)
	b.becomes(func() bool {
		before := third.reads.Load()
		require.Equal(t, doc, string(b.says(third, token).SessionData))
		return third.reads.Load() == before
	})
}

func TestDataEqualsWhatWasGiven(t *testing.T) {
	b := setup(t, uncached)
	rapid.Check(t, func(rt *rapid.T) {
		doc := object(3).Draw(rt, "doc")
		token := b.withData(doc)
		require.Equal(rt, doc, string(b.says(b.process, token).SessionData))
		envelope, err := json.Marshal(b.ValidateSession(b.ctx(), token))
		require.NoError(rt, err)
		member, err := json.Marshal(json.RawMessage(doc)) // without spaces, digits as they are
		require.NoError(rt, err)
		require.Contains(rt, string(envelope), `"sessionData":`+string(member))
	})
}

// object draws the text of an object whose values nest at most so deep.
func object(depth int) *rapid.Generator[string] {
	return rapid.Custom(func(rt *rapid.T) string {
		space := rapid.SampledFrom([]string{"", "", " ", "\n\t"})
		var members []string
		for i := range rapid.IntRange(0, 4).Draw(rt, "members") {
			name := fmt.Sprintf("%q", fmt.Sprint(i, rapid.StringMatching(`[a-z<&π]{0,3}`).Draw(rt, "name")))
			members = append(members, space.Draw(rt, "s")+name+space.Draw(rt, "s")+":"+space.Draw(rt, "s")+value(depth).Draw(rt, "value"))
		}
		return "{" + strings.Join(members, ",") + space.Draw(rt, "s") + "}"
	})
}

func value(depth int) *rapid.Generator[string] {
	kinds := []*rapid.Generator[string]{
		rapid.StringMatching(`-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?`),
		rapid.StringMatching(`"([a-zé<>&'/]|\\[nrt"\\/]|\\u00[2-7][0-9a-f])*"`),
		rapid.SampledFrom([]string{"true", "false", "null", "[]", "[ 1 ,2]"}),
	}
	if depth > 0 {
		kinds = append(kinds, object(depth-1))
	}
	return rapid.OneOf(kinds...)
}

// A caller who changes the answer does not change what others get.
func TestTheAnswerIsTheCallersCopy(t *testing.T) {
	b := setup(t)
	token := b.create(alice())
	b.warm(b.process, token)
	clear(b.says(b.process, token).SessionData)
	require.JSONEq(t, `{"theme":"dark"}`, string(b.says(b.process, token).SessionData))
}

// Data that no cache keeps is read from PostgreSQL each time, and is always the
// stored one.
func TestLargeDataIsNotKept(t *testing.T) {
	b := setup(t)
	doc := strings.Repeat(" ", sessions.KeptData) + `{"secret":1}`
	token := b.withData(doc)
	b.fillRedis(token)
	require.NotContains(t, b.stored(token), "secret")
	for range 3 {
		before := b.reads.Load()
		require.Equal(t, doc, string(b.says(b.process, token).SessionData))
		require.Greater(t, b.reads.Load(), before)
	}
	b.exec("ALTER TABLE sessions DISABLE TRIGGER USER; DELETE FROM sessions")
	require.True(t, b.unknown(b.process, token), "whatever the cache holds of it")
}
