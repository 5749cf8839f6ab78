package torture

import (
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/faultproxy"
	"github.com/seed14a526e0/relaystore/internal/testclient"
)

// proxied is a second client, behind a proxy.
func proxied(t *testing.T, b *bundle) (*faultproxy.Proxy, *slot, func(mark)) {
	t.Helper()
	proxy, through := faultproxy.Postgres(t, b.cfg.DatabaseURL)
	cfg := b.cfg
	cfg.DatabaseURL = through
	client := testclient.Open(t, cfg)
	t.Cleanup(proxy.Pass)
	s := &slot{run: b.run, proxy: proxy, seen: watch(proxy)}
	b.slots = []*slot{s}
	return proxy, s, func(m mark) { b.record(t, client, m) }
}

func TestSightings(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	b.book.open(1)
	_, _, record := proxied(t, b)
	for n := range int64(3) {
		record(mark{1, n + 1})
	}
	require.Equal(t, Duplicates{}, b.sightings())
	record(mark{1, 1})
	require.Equal(t, Duplicates{FastPath: 1, OnConflict: 1}, b.sightings())
	b.record(t, b.client, mark{1, 4})
	record(mark{1, 4})
	require.Equal(t, Duplicates{FastPath: 2, OnConflict: 2}, b.sightings())
	require.NoError(t, b.audit(t.Context()))
	require.True(t, b.rep.Clean(), b.rep)
}

// A commit whose acknowledgement is lost is repeated, and the repeat, which looks
// twice, finds the record. Nothing is repeated for a cut behind the acknowledgement.
func TestCutsAroundAnAcknowledgement(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		pattern *regexp.Regexp
		action  faultproxy.Action
		again   bool
		want    Duplicates
	}{
		"fast path, before":   {fastPath, faultproxy.CutBefore, false, Duplicates{Own: 2}},
		"fast path, after":    {fastPath, faultproxy.CutAfter, false, Duplicates{}},
		"ON CONFLICT, before": {conflictPath, faultproxy.CutBefore, true, Duplicates{FastPath: 1, OnConflict: 2}},
		"ON CONFLICT, after":  {conflictPath, faultproxy.CutAfter, true, Duplicates{FastPath: 1, OnConflict: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setUp(t)
			b.book.open(1)
			proxy, s, record := proxied(t, b)
			m := mark{1, 2}
			record(mark{1, 1}) // the month is there
			if test.again {
				b.record(t, b.client, m)
			}
			cut := proxy.OnMatch(faultproxy.ToClient, test.pattern, test.action)
			record(m)
			<-cut
			require.True(t, s.await(t.Context(), cut))
			require.Equal(t, test.want, b.sightings())
			require.NoError(t, b.audit(t.Context()))
			require.True(t, b.rep.Clean(), b.rep)
		})
	}
}
