package replay

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/usage"
)

// Options of a Run.
type Options struct {
	// Keys is how many keys share the rows: row n uses key n mod Keys.
	Keys int
	// Callers is how many requests are in flight.
	Callers int
	// Progress, if set, is called after each row, from any caller.
	Progress func()
}

// Bounds of Options.
const (
	MaxKeys    = 10_000
	MaxCallers = 1_024
)

// Run replays a trace and gives what the library then says of its keys.
func Run(ctx context.Context, c *repo.Client, t Trace, opts Options) (Report, error) {
	if opts.Keys < 1 || opts.Keys > MaxKeys {
		return Report{}, result.Invalid("keys", "must lie between 1 and %d", MaxKeys)
	}
	if opts.Callers < 1 || opts.Callers > MaxCallers {
		return Report{}, result.Invalid("callers", "must lie between 1 and %d", MaxCallers)
	}
	r := &runner{client: c, trace: t, opts: opts}
	if err := r.openKeys(ctx); err != nil {
		return Report{}, err
	}
	if err := r.replay(ctx); err != nil {
		return Report{}, err
	}
	return r.report(ctx)
}

type runner struct {
	client *repo.Client
	trace  Trace
	opts   Options
	keys   []key

	duplicates, validating, recording atomic.Int64 // the last two in nanoseconds
}

type key struct{ id, hash string }

// namespace makes the keys' ids: UUIDv5 of the file's digest, the number of keys
// and the key's index.
var namespace = uuid.MustParse("5d0c1c3e-3f0e-5b61-9d1c-7a4b8f2e6a10")

// openKeys creates the keys, or finds those of an earlier replay.
func (r *runner) openKeys(ctx context.Context) error {
	r.keys = make([]key, r.opts.Keys)
	for i := range r.keys {
		id := uuid.NewSHA1(namespace, fmt.Appendf(nil, "%s/%d/%d", r.trace.Digest, r.opts.Keys, i)).String()
		created, err := r.client.APIKeys.CreateAPIKey(ctx, apikeys.KeyData{
			ID: id, Name: fmt.Sprintf("replay of %.200s, key %d of %d", filepath.Base(r.trace.Path), i+1, r.opts.Keys),
		}).Get()
		hash := created.HashedKey
		if errors.Is(err, result.DuplicateKey) {
			var stored apikeys.APIKey
			stored, err = r.client.APIKeys.GetAPIKey(ctx, id).Get()
			hash = stored.HashedKey
		}
		if err != nil {
			return err
		}
		r.keys[i] = key{id, hash}
	}
	return nil
}

func (r *runner) replay(ctx context.Context) error {
	rows := make(chan Row)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(rows)
		return r.trace.Each(ctx, func(row Row) error {
			select {
			case rows <- row:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	})
	for range r.opts.Callers {
		group.Go(func() error {
			for row := range rows {
				if err := r.request(ctx, row); err != nil {
					return fmt.Errorf("row %d: %w", row.N, err)
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// request is what a gateway does for one request.
func (r *runner) request(ctx context.Context, row Row) error {
	k, m := r.keys[row.N%len(r.keys)], Models[row.N%len(Models)]
	begin := time.Now()
	v, err := r.client.APIKeys.ValidateAPIKey(ctx, k.hash).Get()
	if err != nil {
		return err
	}
	if !v.IsActive {
		return fmt.Errorf("key %s is not active", k.id)
	}
	valid := time.Now()
	status := r.client.Usage.RecordUsage(ctx, usage.Record{
		APIKeyID: k.id, AccountType: m.AccountType, Model: m.Name,
		InputTokens: row.Input, OutputTokens: row.Output, TotalTokens: row.Input + row.Output,
		Cost: m.Cost(row.Input, row.Output), RequestCount: 1, Timestamp: row.Time, RequestID: strconv.Itoa(row.N),
	})
	if err := status.Err(); err != nil {
		return err
	}
	r.recording.Add(int64(time.Since(valid)))
	r.validating.Add(int64(valid.Sub(begin)))
	if status.Duplicate {
		r.duplicates.Add(1)
	}
	if r.opts.Progress != nil {
		r.opts.Progress()
	}
	return nil
}
