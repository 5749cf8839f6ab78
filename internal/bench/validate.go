package bench

import (
	"context"
	"errors"

	"github.com/seed14a526e0/relaystore/cache"
	"github.com/seed14a526e0/relaystore/repo/result"
)

const (
	// MaxKeys is how many keys [Validate] takes at most: what a process caches.
	MaxKeys = 100_000
	// rounds is how often everything is measured; the medians count.
	rounds = 3
	// reported is how many keys the report's memory is of.
	reported = 100_000
)

// ValidateOptions of [Validate].
type ValidateOptions struct {
	// Keys is how many cached keys are drawn from.
	Keys int
	// Quick measures much less, for tests: the figures mean little then.
	Quick bool
	// Progress, if set, hears how many of all steps are done.
	Progress func(done, total int)
}

// ValidateReport is what [Validate] measured. Times are nanoseconds an operation:
// means of a loop for what takes no network, else medians of single operations.
type ValidateReport struct {
	// HitNs is ValidateAPIKey of a cached key, HitParallelNs its wall time an
	// operation when two goroutines share the work, Allocs its allocations to two
	// decimals: the process's other work makes some, too.
	HitNs         float64 `json:"hitNs"`
	HitParallelNs float64 `json:"hitParallelNs"`
	Allocs        float64 `json:"allocs"`
	// NegativeNs is ValidateAPIKey of a hash that is known to be unknown, MissNs
	// of a key that neither the process nor Redis holds.
	NegativeNs float64 `json:"negativeNs"`
	MissNs     float64 `json:"missNs"`
	// CredentialsNs is GetCredentials of a cached account that has every secret,
	// SessionNs ValidateSession of a cached session.
	CredentialsNs float64 `json:"credentialsNs"`
	SessionNs     float64 `json:"sessionNs"`

	// OutageP99Ns is ValidateAPIKey's 99th percentile while Redis is silent and nothing
	// cached is young enough: PostgreSQL answers, and Redis is tried for at most
	// OutageDeadlineNs.
	OutageP99Ns      float64 `json:"outageP99Ns"`
	OutageDeadlineNs float64 `json:"outageDeadlineNs"`

	// The baselines: time.Now; a look-up in a sync.Map by the same hashes; hits of
	// rueidis' DoCache by keys of the same length; a DoCache miss; a GET; the
	// library's own statement.
	TimeNowNs         float64 `json:"timeNowNs"`
	MapNs             float64 `json:"mapNs"`
	DocacheNs         float64 `json:"docacheNs"`
	DocacheParallelNs float64 `json:"docacheParallelNs"`
	DocacheMissNs     float64 `json:"docacheMissNs"`
	RedisGetNs        float64 `json:"redisGetNs"`
	SelectNs          float64 `json:"selectNs"`

	// UpdateRatio is how much longer UpdateAPIKey takes with the outbox's triggers.
	UpdateRatio float64 `json:"updateRatio"`
	// RSSMiB100k is the memory of 100,000 cached keys.
	RSSMiB100k float64 `json:"rssMiB100k"`
}

// Validate measures validation and its baselines in one process and one run.
func Validate(ctx context.Context, p Place, o ValidateOptions) (ValidateReport, error) {
	if o.Keys < 1 || o.Keys > MaxKeys {
		return ValidateReport{}, result.Invalid("keys", "must lie between 1 and %d", MaxKeys)
	}
	var rep ValidateReport
	if err := rep.measure(ctx, p, o); err != nil {
		return ValidateReport{}, err
	}
	n := o.effort().fill
	mib, err := fillElsewhere(ctx, p, n)
	rep.RSSMiB100k = rounded(mib*reported/float64(n), 1)
	return rep, err
}

// measurement is one figure of the report.
type measurement struct {
	into   *float64
	digits int
	once   func(context.Context) (float64, error)
}

func (r *ValidateReport) measure(ctx context.Context, p Place, o ValidateOptions) (err error) {
	b, err := newValidation(ctx, p, o.Keys, o.effort())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close(ctx)) }()
	if err := medians(ctx, r.measurements(b), func(done, total int) { o.progress(done, total+1) }); err != nil {
		return err
	}
	r.OutageDeadlineNs = float64(cache.OpTimeout)
	p99, err := b.outageP99(ctx, p)
	r.OutageP99Ns = rounded(p99, 0)
	return err
}

// medians measures everything in rounds, one after the other.
func medians(ctx context.Context, all []measurement, progress func(done, total int)) error {
	found := make([][]float64, len(all))
	for round := range rounds {
		for i, m := range all {
			x, err := m.once(ctx)
			if err = errors.Join(ctx.Err(), err); err != nil {
				return err
			}
			found[i] = append(found[i], x)
			if progress != nil {
				progress(round*len(all)+i+1, rounds*len(all))
			}
		}
	}
	for i, m := range all {
		*m.into = rounded(median(found[i]), m.digits)
	}
	return nil
}

func (r *ValidateReport) measurements(b *validation) []measurement {
	return []measurement{
		{&r.TimeNowNs, 1, b.timeNow},
		{&r.HitNs, 1, b.hit},
		{&r.MapNs, 1, b.lookup},
		{&r.DocacheNs, 1, b.docache},
		{&r.NegativeNs, 1, b.negative},
		{&r.HitParallelNs, 1, b.hitParallel},
		{&r.DocacheParallelNs, 1, b.docacheParallel},
		{&r.Allocs, 2, b.allocs},
		{&r.CredentialsNs, 1, b.credentials},
		{&r.SessionNs, 1, b.session},
		{&r.MissNs, 0, b.miss},
		{&r.DocacheMissNs, 0, b.docacheMiss},
		{&r.RedisGetNs, 0, b.redisGet},
		{&r.SelectNs, 0, b.selectKey},
		{&r.UpdateRatio, 3, b.updateRatio},
	}
}

func (o ValidateOptions) progress(done, total int) {
	if o.Progress != nil {
		o.Progress(done, total)
	}
}
