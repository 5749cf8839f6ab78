package repo_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/repo/sessions"
)

// session calls one of the methods. A first argument "cancelled" of
// cleanupExpiredSessions, which has none, is a caller who has given up.
func (g goldenCall) session(t *testing.T, s *sessions.Repo) any {
	ctx := t.Context()
	switch g.Call {
	case "createSession":
		return s.CreateSession(ctx, arg[sessions.Data](t, g, 0))
	case "validateSession":
		return s.ValidateSession(ctx, arg[string](t, g, 0))
	case "updateSession":
		return s.UpdateSession(ctx, arg[string](t, g, 0), arg[sessions.Patch](t, g, 1))
	case "deleteSession":
		return s.DeleteSession(ctx, arg[string](t, g, 0))
	}
	if len(g.Args) > 0 {
		cancelled, cancel := context.WithCancel(ctx)
		cancel()
		ctx = cancelled
	}
	return s.CleanupExpiredSessions(ctx)
}

// goldenTokens are the session tokens that a file's setup was given.
type goldenTokens []string

// add waits for the end of a session that ends at once.
func (k *goldenTokens) add(t *testing.T, answer []byte) {
	var created struct {
		Data struct {
			SessionToken string    `json:"sessionToken"`
			ExpiresAt    time.Time `json:"expiresAt"`
		} `json:"data"`
	}
	if json.Unmarshal(answer, &created) != nil || created.Data.SessionToken == "" {
		return
	}
	*k = append(*k, created.Data.SessionToken)
	if time.Until(created.Data.ExpiresAt) < time.Second {
		require.Eventually(t, func() bool { return time.Now().After(created.Data.ExpiresAt.Add(time.Millisecond)) }, time.Minute, time.Millisecond)
	}
}

// in puts the tokens into a call's arguments.
func (k goldenTokens) in(call goldenCall) goldenCall {
	args := make([]json.RawMessage, len(call.Args))
	for i, a := range call.Args {
		args[i] = a
		for n, token := range k {
			args[i] = bytes.ReplaceAll(args[i], fmt.Appendf(nil, "<token %d>", n+1), []byte(token))
		}
	}
	call.Args = args
	return call
}
