package accounts

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/seed14a526e0/relaystore/repo/result"
)

const (
	// aheadAtOnce is how many accounts a process refreshes ahead at the same time.
	aheadAtOnce = 4
	// aheadRows bounds a round; those whose refresh fails come back only later, so that
	// they do not keep others out.
	aheadRows = 1000
)

func (r *Repo) startAhead() {
	if r.TokenRefresher == nil || r.RefreshAhead <= 0 {
		return
	}
	every := min(max(r.RefreshAhead/10, time.Second), time.Minute)
	r.refreshes.running.Go(func() {
		for sleep(r.refreshes.waiting, every/2+rand.N(every)) { //nolint:gosec // processes only shall not go in step
			r.refreshDue(r.refreshes.waiting)
		}
	})
}

// refreshDue refreshes what expires soon and is not in error.
func (r *Repo) refreshDue(ctx context.Context) {
	ids, err := r.due(ctx)
	if err != nil {
		return // the next round
	}
	var failed atomic.Int64
	var first atomic.Pointer[result.Error]
	var g errgroup.Group
	g.SetLimit(aheadAtOnce)
	for _, id := range ids {
		if ctx.Err() != nil {
			break
		}
		g.Go(func() error {
			if _, err := r.refresh(ctx, id, r.RefreshAhead); err != nil {
				failed.Add(1)
				first.CompareAndSwap(nil, result.From(err))
			}
			return nil
		})
	}
	_ = g.Wait()
	if failed.Load() > 0 && ctx.Err() == nil {
		r.Logger.Warn("relaystore: tokens could not be refreshed ahead of their expiry", "failed", failed.Load(), "of", len(ids), "one error", first.Load())
	}
}

func (r *Repo) due(ctx context.Context) ([]uuid.UUID, error) {
	ctx, cancel := context.WithTimeout(ctx, r.Primary.OpTimeout)
	defer cancel()
	return r.refreshStore().due(ctx)
}
