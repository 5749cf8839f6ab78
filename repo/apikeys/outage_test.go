package apikeys_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/faultproxy"
	"github.com/seed14a526e0/relaystore/internal/testclient"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// outage is a bundle behind proxies to both servers.
type outage struct {
	*bundle

	postgres, redis *faultproxy.Proxy
	log             *lockedBuffer
}

func setupOutage(t *testing.T) *outage {
	t.Helper()
	o := &outage{log: &lockedBuffer{}}
	o.bundle = setup(t, func(c *repo.Config) {
		o.postgres, c.DatabaseURL = faultproxy.Postgres(t, c.DatabaseURL)
		o.redis, c.RedisURL = faultproxy.Redis(t, c.RedisURL)
		c.MaxStaleness = 2 * time.Second
		c.Logger = slog.New(slog.NewTextHandler(o.log, nil))
	})
	return o
}

type lockedBuffer struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.all.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.all.String()
}

func (o *outage) validates(c *repo.Client, hash string) error {
	return c.APIKeys.ValidateAPIKey(o.ctx(), hash).Err()
}

// Both servers are down. A cached key goes on for MaxStaleness, where StaleIfError
// allows it longer, and nothing else does.
func TestBothServersAreDown(t *testing.T) {
	for name, end := range map[string]func(*faultproxy.Proxy){"cut": (*faultproxy.Proxy).Cut, "silent": (*faultproxy.Proxy).Stall} {
		t.Run(name, func(t *testing.T) { bothServersAreDown(t, end) })
	}
}

func bothServersAreDown(t *testing.T, end func(*faultproxy.Proxy)) {
	t.Helper()
	o := setupOutage(t)
	longer := o.cfg
	longer.StaleIfError = time.Hour
	lenient := testclient.Open(t, longer)
	t.Cleanup(func() { o.postgres.Pass(); o.redis.Pass() }) // for what Close stores
	k := o.create(apikeys.KeyData{})
	active := func(c *repo.Client) bool {
		v, err := c.APIKeys.ValidateAPIKey(o.ctx(), k.HashedKey).Get()
		return err == nil && v.IsActive
	}
	require.Eventually(t, func() bool { // both have cached it
		require.NoError(t, o.keys.UpdateAPIKey(o.ctx(), k.ID, apikeys.Patch{IsActive: result.Set(true)}).Err())
		require.Eventually(t, func() bool { return active(o.Client) && active(lenient) }, time.Minute, time.Millisecond)
		o.disableSecretly(k.ID)
		return active(o.Client) && active(lenient)
	}, time.Minute, time.Millisecond)
	o.postgres.Cut()
	before := len(o.log.String())
	end(o.redis)
	require.Eventually(t, func() bool {
		err := o.validates(o.Client, k.HashedKey)
		require.True(t, err == nil || result.From(err).Code == result.ConnectionFailed, "%v", err)
		return err != nil
	}, time.Minute, time.Millisecond)
	for range 1000 {
		require.True(t, active(lenient))
	}
	require.ErrorIs(t, o.validates(lenient, apikeys.HashPlaintext("never seen")), result.ConnectionFailed)

	require.NotContains(t, o.log.String(), k.APIKey)
	require.NotContains(t, o.log.String(), k.HashedKey)
	require.NotContains(t, o.log.String(), "://")
	changes := strings.Count(o.log.String()[before:], "\n")
	require.LessOrEqual(t, changes, 6, "two clients' outbox, compactor and Redis: %s", o.log.String())
}

// PostgreSQL is silent, and all that may be asked of it is: a further call hears that
// there is no place for it, and never that its key is unknown.
func TestOverloadIsPoolExhausted(t *testing.T) {
	o := setupOutage(t)
	o.postgres.Stall()
	t.Cleanup(o.postgres.Cut) // else Close waits for it
	n := 0
	require.Eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(o.ctx(), 50*time.Millisecond)
		defer cancel()
		n++
		err := o.keys.ValidateAPIKey(ctx, apikeys.HashPlaintext(string(rune(n)))).Err()
		require.Error(t, err)
		require.NotErrorIs(t, err, result.RecordNotFound)
		return result.From(err).Code == result.PoolExhausted
	}, time.Minute, time.Millisecond)
}
