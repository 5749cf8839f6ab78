package result_test

import (
	"context"
	"testing"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/faultproxy"
	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/repo/result"
)

func TestRedisReplies(t *testing.T) {
	t.Parallel()
	r, key := testdb.Redis(t), testdb.Prefix(t)+"k"
	ctx := t.Context()
	require.Equal(t, result.CacheMiss, result.From(r.Do(ctx, r.B().Get().Key(key).Build()).Error()).Code)
	require.NoError(t, r.Do(ctx, r.B().Lpush().Key(key).Element("secret").Build()).Error())
	for _, err := range []error{
		r.Do(ctx, r.B().Get().Key(key).Build()).Error(), // WRONGTYPE
		r.Do(ctx, r.B().Arbitrary("NO.SUCH.COMMAND", "secret").Build()).Error(),
		r.Do(ctx, r.B().Eval().Script("return redis.error_reply('secret')").Numkeys(0).Build()).Error(),
		r.Do(ctx, r.B().Evalsha().Sha1("0000000000000000000000000000000000000000").Numkeys(0).Build()).Error(),
	} {
		e := result.From(err)
		require.Equal(t, result.CacheError, e.Code, "%v", err)
		require.NotContains(t, e.Error(), "secret")
	}
	gone, cancel := context.WithCancel(ctx)
	cancel()
	require.Equal(t, result.Cancelled, result.From(r.Do(gone, r.B().Get().Key(key).Build()).Error()).Code)
	closed := testdb.Redis(t)
	closed.Close()
	require.Equal(t, result.CacheError, result.From(closed.Do(ctx, r.B().Get().Key(key).Build()).Error()).Code)
}

// A bare connection error does not tell whose it is: those who ask Redis say so.
func TestRedisUnreachable(t *testing.T) {
	t.Parallel()
	proxy, url := faultproxy.Redis(t, testdb.RedisURL(t))
	opt, err := rueidis.ParseURL(url)
	require.NoError(t, err)
	proxy.Close()
	_, err = rueidis.NewClient(opt)
	require.Equal(t, result.ConnectionFailed, result.From(err).Code)
}
