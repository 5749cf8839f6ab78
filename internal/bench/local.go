package bench

import (
	"context"
	"testing"
	"time"

	"github.com/seed14a526e0/relaystore/repo/apikeys"
)

// allocsOps is how many operations are one run of AllocsPerRun, which rounds down.
const (
	allocsOps  = 1_000
	allocsRuns = 100
)

// active is the operation that everything here is about.
func (b *validation) active(ctx context.Context) func(string) bool {
	return func(hash string) bool {
		v := b.lib.APIKeys.ValidateAPIKey(ctx, hash)
		return v.Data().IsActive
	}
}

func (b *validation) hit(ctx context.Context) (float64, error) {
	return b.hashes.alone(b.localOps, b.active(ctx))
}

func (b *validation) hitParallel(ctx context.Context) (float64, error) {
	return b.hashes.parallel(b.localOps, b.active(ctx))
}

func (b *validation) allocs(ctx context.Context) (float64, error) {
	active, failed := b.active(ctx), 0
	n := testing.AllocsPerRun(allocsRuns, func() { failed += b.hashes.loop(0, allocsOps, active) })
	return n / allocsOps, failures(failed, allocsRuns*allocsOps)
}

func (b *validation) negative(ctx context.Context) (float64, error) {
	return b.unknown.alone(b.localOps, func(hash string) bool {
		return b.lib.APIKeys.ValidateAPIKey(ctx, hash).Err() != nil
	})
}

func (b *validation) timeNow(context.Context) (float64, error) {
	return b.hashes.alone(b.localOps, func(string) bool { return !time.Now().IsZero() })
}

func (b *validation) lookup(context.Context) (float64, error) {
	return b.hashes.alone(b.localOps, func(hash string) bool {
		v, ok := b.table.Load(hash)
		return ok && v.(*apikeys.Validation) != nil
	})
}

func (b *validation) docache(ctx context.Context) (float64, error) {
	return b.names.alone(b.docacheOps, b.cached(ctx))
}

func (b *validation) docacheParallel(ctx context.Context) (float64, error) {
	return b.names.parallel(b.docacheOps, b.cached(ctx))
}

func (b *validation) cached(ctx context.Context) func(string) bool {
	return func(name string) bool {
		reply := b.entries.cached(ctx, name)
		return reply.IsCacheHit()
	}
}
