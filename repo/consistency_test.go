package repo_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/testclient"
	"github.com/seed14a526e0/relaystore/repo/sessions"
)

// The meter that operators see counts what is compared of sessions, too.
func TestConsistencyIsOfAllKinds(t *testing.T) {
	t.Parallel()
	cfg := testclient.Config(t)
	cfg.ConsistencyChecks = 100
	c := testclient.Open(t, cfg)
	s, err := c.Sessions.CreateSession(t.Context(), sessions.Data{UserID: "u", UserType: sessions.User, SessionData: json.RawMessage(`{}`)}).Get()
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		require.NoError(t, c.Sessions.ValidateSession(t.Context(), s.SessionToken).Err())
		return c.Sessions.Consistency().Checked > 0
	}, time.Minute, time.Millisecond)
	before := c.APIKeys.Consistency().Checked + c.Sessions.Consistency().Checked
	require.GreaterOrEqual(t, c.Monitoring.Process(t.Context()).Consistency.Checked, before)
}
