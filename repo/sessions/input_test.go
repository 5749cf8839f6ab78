package sessions_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/sessions"
)

// badObjects are refused as session data by create and update.
var badObjects = map[string]string{
	"null": `null`, "array": `[]`, "text": `"x"`, "number": `1`, "half": `{`, "two": `{}{}`, "spaces": "  ", "words": `{a:1}`,
	"twice": `{"a":1,"a":1}`, "twice deep": `{"x":[1,{"y":{"a":1,"b":[{}],"a":2}}]}`, "twice by escape": `{"a":1,"\u0061":2}`,
	"deep":    strings.Repeat(`{"a":`, 64) + "{}" + strings.Repeat("}", 64),
	"deeper":  `{"a":` + strings.Repeat("[", 30_000) + strings.Repeat("]", 30_000) + "}",
	"NUL":     `{"a":"\u0000"}`,
	"raw NUL": "{\"a\":\"\x00\"}", "not UTF-8": "{\"a\":\"\xff\"}", "surrogate": `{"a":"\ud800"}`, "name": `{"\udc00":1}`,
	"exponent": `{"a":1e99999}`, "digits": `{"a":` + strings.Repeat("1", 1000) + `}`,
	"large": `{"a":"` + strings.Repeat("x", 64<<10) + `"}`, "larger": `{"a":"` + strings.Repeat("x", 1<<20) + `"}`,
}

func TestBadInputNamesTheFieldAndWritesNothing(t *testing.T) {
	b := setup(t)
	bad := func(field string, change func(*sessions.Data)) {
		data := alice()
		change(&data)
		requireField(t, b.CreateSession(b.ctx(), data).Err(), result.InvalidQuery, field)
	}
	for _, id := range []string{"", "\x00", "\xff", strings.Repeat("x", 257), strings.Repeat("é", 129), strings.Repeat("x", 1<<20)} {
		bad("userId", func(d *sessions.Data) { d.UserID = id })
	}
	for _, kind := range []sessions.UserType{"", "root", "Admin", "admin ", "user'; DROP TABLE sessions; --", "\x00", "\xff", sessions.UserType(strings.Repeat("x", 1<<20))} {
		bad("userType", func(d *sessions.Data) { d.UserType = kind })
	}
	for _, ttl := range []time.Duration{-1, -time.Hour, 1, time.Millisecond - 1, 36500*24*time.Hour + 1, math.MaxInt64, math.MinInt64} {
		bad("ttlSeconds", func(d *sessions.Data) { d.TTL = ttl })
	}
	for _, ip := range []string{"localhost", "1.2.3", "1.2.3.4:80", "[::1]", "fe80::1%eth0", "10.0.0.0/8", " ::1", "\x00", strings.Repeat("1", 1<<20)} {
		bad("ipAddress", func(d *sessions.Data) { d.IPAddress = ip })
	}
	for _, agent := range []string{"\x00", "\xff", strings.Repeat("x", 1025), strings.Repeat("x", 1<<20)} {
		bad("userAgent", func(d *sessions.Data) { d.UserAgent = agent })
	}
	bad("sessionData", func(d *sessions.Data) { d.SessionData = nil })
	for _, doc := range badObjects {
		bad("sessionData", func(d *sessions.Data) { d.SessionData = json.RawMessage(doc) })
	}
	require.Zero(t, b.count())
}

func TestBadUpdatesWriteNothing(t *testing.T) {
	b := setup(t)
	token := b.create(alice())
	before := b.says(b.process, token)
	for name, doc := range badObjects {
		err := b.UpdateSession(b.ctx(), token, sessions.Patch{SessionData: json.RawMessage(doc), ExtendTTL: time.Hour}).Err()
		require.ErrorIs(t, err, result.InvalidQuery, name)
		requireField(t, err, result.InvalidQuery, "sessionData")
	}
	for _, ttl := range []time.Duration{-1, 1, math.MaxInt64, math.MinInt64} {
		err := b.UpdateSession(b.ctx(), token, sessions.Patch{SessionData: json.RawMessage(`{}`), ExtendTTL: ttl}).Err()
		requireField(t, err, result.InvalidQuery, "extendTTL")
	}
	require.Equal(t, before, b.says(b.process, token))
	require.Equal(t, 1, b.number(`SELECT count(*) FROM sessions WHERE session_data::text = '{"theme":"dark"}' AND expires_at = $1`, before.ExpiresAt))
}

// What statements and shells would take as their own is text.
func TestInjectionStringsAreText(t *testing.T) {
	b := setup(t)
	for _, text := range []string{"'; DROP TABLE sessions; --", `\'; --`, "$1", "{{.}}", "\x1b[2J", "a\r\nSET x 1", "%s%n", strings.Repeat("x", 256)} {
		doc, err := json.Marshal(map[string]string{text: text})
		require.NoError(t, err)
		token := b.create(sessions.Data{UserID: text, UserType: sessions.User, SessionData: doc, UserAgent: text})
		v := b.says(b.process, token)
		require.Equal(t, text, v.UserID)
		require.Equal(t, string(doc), string(v.SessionData))
	}
}

func TestMaxSessionDataIsConfigured(t *testing.T) {
	b := setup(t, func(c *repo.Config) { c.MaxSessionData = 10 })
	data := alice()
	data.SessionData = json.RawMessage(`{"a":1234}`)
	token := b.create(data)
	data.SessionData = json.RawMessage(`{"a":12345}`)
	requireField(t, b.CreateSession(b.ctx(), data).Err(), result.InvalidQuery, "sessionData")
	requireField(t, b.UpdateSession(b.ctx(), token, sessions.Patch{SessionData: data.SessionData}).Err(), result.InvalidQuery, "sessionData")
}

func TestFromJSON(t *testing.T) {
	t.Parallel()
	var d sessions.Data
	const whole = `{"userId":"u","userType":"admin","sessionData":{"n": 1.50},"ttlSeconds":1.5,"ipAddress":"::1","userAgent":"a"}`
	require.NoError(t, json.Unmarshal([]byte(whole), &d))
	require.Equal(t, sessions.Data{UserID: "u", UserType: "admin", SessionData: json.RawMessage(`{"n": 1.50}`), TTL: 1500 * time.Millisecond, IPAddress: "::1", UserAgent: "a"}, d)
	again, err := json.Marshal(d)
	require.NoError(t, err)
	require.JSONEq(t, whole, string(again))
	require.NoError(t, json.Unmarshal([]byte(`{"userId":"u","userType":"user","sessionData":{},"ttlSeconds":null}`), &d))
	require.Zero(t, d.TTL)
	for _, none := range []string{"0", "-0", "0.0", "0e5"} {
		require.NoError(t, json.Unmarshal([]byte(`{"userId":"u","userType":"user","sessionData":{},"ttlSeconds":`+none+`}`), &d))
		require.Zero(t, d.TTL)
	}

	var p sessions.Patch
	require.NoError(t, json.Unmarshal([]byte(`{"extendTTL":86400}`), &p))
	require.Equal(t, sessions.Patch{ExtendTTL: 24 * time.Hour}, p)
	again, err = json.Marshal(sessions.Patch{ExtendTTL: time.Minute, SessionData: json.RawMessage(`{"a":1}`)})
	require.NoError(t, err)
	require.JSONEq(t, `{"extendTTL":60,"sessionData":{"a":1}}`, string(again))
}

func TestFromJSONRefusesByName(t *testing.T) {
	t.Parallel()
	for field, members := range map[string][]string{
		"userId":      {`"userType":"user","sessionData":{}`, `"userId":7,"userType":"user","sessionData":{}`, `"userId":null,"userType":"user","sessionData":{}`},
		"userType":    {`"userId":"u","sessionData":{}`},
		"sessionData": {`"userId":"u","userType":"user"`, `"userId":"u","userType":"user","sessionData":null`},
		"ttlSeconds":  {`"ttlSeconds":"60"`, `"ttlSeconds":true`, `"ttlSeconds":1e300`, `"ttlSeconds":9223372037`, `"ttlSeconds":-1e12`, `"ttlSeconds":1e999`, `"ttlSeconds":1e-10`, `"ttlSeconds":-1E-10`, `"ttlSeconds":1e-400`, `"ttlSeconds":0.0000000004`, `"ttlSeconds":"NaN"`, `"ttlSeconds":"Infinity"`, `"ttlSeconds":` + strings.Repeat("[", 20_000)},
		"TTL":         {`"TTL":60`},
		"token":       {`"token":"x"`},
		"userid":      {`"userid":"x"`},
	} {
		for _, m := range members {
			if !strings.Contains(m, `"userType"`) && !strings.Contains(m, `"sessionData"`) {
				m += `,"userId":"u","userType":"user","sessionData":{}`
			}
			var d sessions.Data
			requireField(t, d.UnmarshalJSON([]byte("{"+m+"}")), result.InvalidQuery, field)
		}
	}
	var p sessions.Patch
	for field, doc := range map[string]string{"extendTTL": `{"extendTTL":[]}`, "ttlSeconds": `{"ttlSeconds":5}`, "sessionData": `{"sessionData":{},"sessionData":{}}`} {
		requireField(t, json.Unmarshal([]byte(doc), &p), result.InvalidQuery, field)
	}
	for _, ttl := range []string{"1e300", "1e999", "1e-10", "1e-400", "-1e12", `"NaN"`, `"2030-01-01"`, "true"} {
		requireField(t, json.Unmarshal([]byte(`{"extendTTL":`+ttl+`}`), &p), result.InvalidQuery, "extendTTL")
	}
	var f sessions.Filters
	requireField(t, json.Unmarshal([]byte(`{"limit":"x"}`), &f), result.InvalidQuery, "limit")
}
