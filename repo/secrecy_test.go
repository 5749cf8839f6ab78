package repo_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/sessions"
)

// What holds a secret shows it by no verb and no logger. The JSON of what was made for
// a client has it: that is the answer.
func TestSecretsDoNotPrint(t *testing.T) {
	t.Parallel()
	const secret = "hunter2"
	answers := []any{
		apikeys.Created{APIKey: secret, HashedKey: secret}, apikeys.BatchCreated{APIKey: secret, HashedKey: secret, LegacyHash: secret},
		sessions.Created{SessionToken: secret}, result.OK(sessions.Created{SessionToken: secret}),
	}
	cfg := repo.Config{
		DatabaseURL: "postgres://u:" + secret + "@h/d", DirectURL: secret, RedisURL: secret, PrimaryRedisURL: secret,
		LegacyEncryptionKey: secret, AlertSecret: secret,
	}
	for _, v := range append(answers, cfg, &cfg) {
		var written bytes.Buffer
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&written, verb, v)
			fmt.Fprintf(&written, verb, []any{v})
		}
		slog.New(slog.NewTextHandler(&written, nil)).Info("m", "v", v)
		slog.New(slog.NewJSONHandler(&written, nil)).Info("m", "v", v)
		require.NotContains(t, written.String(), secret)
		require.NotContains(t, written.String(), fmt.Sprintf("%x", secret))
		require.Contains(t, written.String(), "[redacted]")
	}
	for _, v := range answers {
		doc, err := json.Marshal(v)
		require.NoError(t, err)
		require.Contains(t, string(doc), secret)
	}
	doc, err := json.Marshal(cfg)
	require.NoError(t, err)
	require.NotContains(t, string(doc), secret)
}
