package bench

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/seed14a526e0/relaystore/internal/faultproxy"
	"github.com/seed14a526e0/relaystore/repo"
)

const (
	// outageKeys are asked for in turn while Redis is silent.
	outageKeys = 100
	// outageMargin is how much longer than MaxStaleness the silence lasts before calls
	// are timed: then each one asks PostgreSQL.
	outageMargin = 500 * time.Millisecond
)

// outageP99 is the 99th percentile, in nanoseconds, of validations while Redis' sockets
// are open and silent and nothing cached is young enough.
func (b *validation) outageP99(ctx context.Context, p Place) (p99 float64, err error) {
	proxy, through, err := faultproxy.StartRedis(p.RedisURL)
	if err != nil {
		return 0, err
	}
	defer proxy.Close()
	p.RedisURL = through
	lib, err := openSession(ctx, p, repo.DefaultMaxConns, slog.New(slog.DiscardHandler))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, lib.close(ctx)) }()
	if err := lib.ready(ctx); err != nil {
		return 0, err
	}
	keys := min(outageKeys, b.keys)
	if err := lib.warm(ctx, keys, keyHash); err != nil {
		return 0, err
	}
	proxy.Stall()
	if err := sleep(ctx, repo.DefaultMaxStaleness+outageMargin); err != nil {
		return 0, err
	}
	took := make([]float64, b.networkOps)
	for i := range took {
		begin := time.Now()
		if _, err := lib.ask(ctx, keyHash(i%keys)); err != nil {
			return 0, err
		}
		took[i] = float64(time.Since(begin))
	}
	return percentile(took, 0.99), nil
}
