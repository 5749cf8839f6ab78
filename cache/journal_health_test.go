package cache_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/cache"
)

// Open warns of what may cost acknowledged records, in one line.
func TestJournalWarns(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		settings [][]string
		want     string
		health   [2]string
	}{
		"all well":  {nil, "", [2]string{"always", "noeviction"}},
		"everysec":  {[][]string{{"appendfsync", "everysec"}}, "", [2]string{"everysec", "noeviction"}},
		"snapshots": {[][]string{{"appendonly", "no"}, {"save", "3600 1"}}, "", [2]string{"snapshots", "noeviction"}},
		"evicts":    {[][]string{{"maxmemory-policy", "allkeys-lru"}}, "may lose", [2]string{"always", "allkeys-lru"}},
		"volatile":  {[][]string{{"maxmemory-policy", "volatile-ttl"}}, "may lose", [2]string{"always", "volatile-ttl"}},
		"keeps nothing": {
			[][]string{{"appendonly", "no"}, {"save", ""}, {"maxmemory-policy", "allkeys-lfu"}}, "may lose", [2]string{"nothing", "allkeys-lfu"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, _ := privateJournals(t)
			for _, s := range c.settings {
				require.NoError(t, b.run("CONFIG", "SET", s[0], s[1]).Error())
			}
			requireWarning(t, b, c.want, c.health)
		})
	}
}

// A managed Redis that forbids CONFIG tells less.
func TestJournalWarnsOfWhatIsNotTold(t *testing.T) {
	t.Parallel()
	b, stack := privateJournals(t)
	require.NoError(t, b.run("ACL", "SETUSER", "managed", "on", ">secret", "~*", "&*", "+@all", "-config").Error())
	at, err := url.Parse(stack.RedisURL)
	require.NoError(t, err)
	at.User = url.UserPassword("managed", "secret")
	b.options.URL = at.String()
	requireWarning(t, b, "does not tell", [2]string{"unknown", "noeviction"})
	require.NoError(t, b.run("ACL", "SETUSER", "managed", "-info").Error())
	requireWarning(t, b, "does not tell", [2]string{"unknown", "unknown"})
	require.NoError(t, b.run("ACL", "SETUSER", "managed", "+info").Error())
	require.NoError(t, b.run("CONFIG", "SET", "maxmemory-policy", "allkeys-random").Error())
	requireWarning(t, b, "may lose", [2]string{"unknown", "allkeys-random"})
}

func requireWarning(t *testing.T, b *journals, want string, health [2]string) {
	t.Helper()
	w := b.open()
	defer w.Close(t.Context())
	if want == "" {
		require.Empty(t, w.log.texts())
	} else {
		require.Len(t, w.log.texts(), 1)
		require.Contains(t, w.log.texts()[0], "WARN")
		require.Contains(t, w.log.texts()[0], want)
	}
	var h cache.JournalHealth
	b.becomes(func() bool { var err error; h, err = w.Health(t.Context()); return err == nil })
	require.Equal(t, [2]string{h.Keeps, h.Policy}, health)
}

func TestJournalHealth(t *testing.T) {
	t.Parallel()
	b := setupJournals(t)
	w := b.open()
	health := func() (h cache.JournalHealth) {
		b.becomes(func() bool { var err error; h, err = w.Health(t.Context()); return err == nil })
		return h
	}
	require.Equal(t, cache.JournalHealth{Appending: true, Keeps: "always", Policy: "noeviction"}, health())
	b.append(w, numbers(3)...)
	b.becomes(func() bool { return health().Oldest > 20*time.Millisecond })
	require.EqualValues(t, 3, health().Unflushed)
	w.Start(func(entries []string) []error {
		outcomes := b.flush(entries)
		outcomes[0] = &cache.RefusedError{Reason: strings.Repeat("because ", 3)}
		return outcomes
	})
	b.drained()
	h := health()
	require.Positive(t, h.Refused)
	h.Refused = 0
	require.Equal(t, cache.JournalHealth{Appending: true, Keeps: "always", Policy: "noeviction"}, h)
	require.Zero(t, w.Close(t.Context()))
	_, err := w.Health(t.Context())
	require.Error(t, err)
}
