package sessions_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/sessions"
)

func hashOf(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// Neither PostgreSQL nor Redis, nor what they write to each other, nor a log or an
// error has a token, in any form that leads back to it.
func TestTokensAreNowhereStored(t *testing.T) {
	var log bytes.Buffer
	b := setup(t, func(c *repo.Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	token, gone := b.create(alice()), b.create(alice())
	require.NotEqual(t, token, gone)
	b.fillRedis(token)
	require.NoError(t, b.DeleteSession(b.ctx(), gone).Err())
	said := fmt.Sprintf("%v %+v", b.DeleteSession(b.ctx(), gone).Err(), b.ValidateSession(b.ctx(), gone+"\x00").Err())

	var dump string
	require.NoError(t, b.pool.QueryRow(b.ctx(), `SELECT concat((SELECT string_agg(s::text, ' ') FROM sessions s),
		(SELECT string_agg(o::text, ' ') FROM cache_outbox o))`).Scan(&dump))
	redis := b.everythingInRedis()
	require.Contains(t, dump, hashOf(token), "that is what is to be found")
	require.Contains(t, redis, hashOf(token))
	for _, secret := range []string{token, gone} {
		raw, err := hex.DecodeString(secret)
		require.NoError(t, err)
		for _, place := range []string{dump, redis, log.String(), said} {
			require.NotContains(t, place, secret)
			require.NotContains(t, place, string(raw))
			require.NotContains(t, place, hex.EncodeToString([]byte(secret)), "as bytea prints it")
			require.NotContains(t, place, base64.StdEncoding.EncodeToString(raw))
		}
	}
}

func (b *bundle) everythingInRedis() string {
	b.Helper()
	redis, all := b.redis, []string{}
	for cursor := uint64(0); ; {
		page, err := redis.Do(b.ctx(), redis.B().Scan().Cursor(cursor).Match(b.cfg.KeyPrefix+"*").Count(1000).Build()).AsScanEntry()
		require.NoError(b, err)
		for _, name := range page.Elements {
			value, _ := redis.Do(b.ctx(), redis.B().Get().Key(name).Build()).ToString()
			all = append(all, name, value)
		}
		if cursor = page.Cursor; cursor == 0 {
			return strings.Join(all, "\n")
		}
	}
}

// A text that no session can have asks nobody and is unknown, or is refused.
func TestOtherTokens(t *testing.T) {
	b := setup(t)
	token := b.create(alice())
	reads := b.reads.Load()
	for _, text := range []string{"abc", strings.ToUpper(token), token + "0", token[1:], " " + token[1:], "' OR 1=1 --", "爱", hashOf(token) + "\n", strings.Repeat("é", 1024)} {
		require.ErrorIs(t, b.ValidateSession(b.ctx(), text).Err(), result.RecordNotFound, text)
		require.ErrorIs(t, b.UpdateSession(b.ctx(), text, sessions.Patch{}).Err(), result.RecordNotFound, text)
		require.ErrorIs(t, b.DeleteSession(b.ctx(), text).Err(), result.RecordNotFound, text)
	}
	for _, text := range []string{"", "\x00", token + "\x00", "\xff", strings.Repeat("x", 1025), strings.Repeat("a", 1<<20)} {
		requireField(t, b.ValidateSession(b.ctx(), text).Err(), result.InvalidQuery, "sessionToken")
		requireField(t, b.UpdateSession(b.ctx(), text, sessions.Patch{}).Err(), result.InvalidQuery, "sessionToken")
		requireField(t, b.DeleteSession(b.ctx(), text).Err(), result.InvalidQuery, "sessionToken")
	}
	require.Equal(t, reads, b.reads.Load())
	require.True(t, b.unknown(b.process, hashOf(token)), "the hash opens nothing")
	require.True(t, b.says(b.process, token).IsValid)
}
