package sessions_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/testclient"
)

func BenchmarkHit(b *testing.B) {
	c := testclient.Open(b, testclient.Config(b)).Sessions
	s, err := c.CreateSession(b.Context(), alice()).Get()
	require.NoError(b, err)
	for begin := time.Now(); time.Since(begin) < 5*time.Second; {
		call := time.Now()
		c.ValidateSession(b.Context(), s.SessionToken)
		if time.Since(call) < 3*time.Microsecond {
			break
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		c.ValidateSession(b.Context(), s.SessionToken)
	}
}
