package torture

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/seed14a526e0/relaystore/internal/bench"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// Bounds of Options.
const (
	MaxGateways = 16
	MaxCallers  = 1_000
)

const (
	keys = 16
	// quickly is how much shorter the times of a quick run are, quickTimeout how long
	// it tries to see everything.
	quickly      = 8
	quickTimeout = 5 * time.Minute
)

// Options of [Run].
type Options struct {
	// Duration and Kills bound the violence, whichever comes first; 0 is no bound.
	Duration time.Duration
	Kills    int
	// Gateways record at the same time, each with so many Callers.
	Gateways, Callers int
	// UsageWrites is a strategy of repo.Config; "" is its default.
	UsageWrites string
	// Seed draws the faults.
	Seed uint64
	// Quick, for tests, hurries until every kind of fault has happened and duplicates
	// have been met on both paths.
	Quick bool
	// Progress, if set, hears now and then how many kills there were after what time.
	Progress func(kills int, after time.Duration)
}

// Check names the field that is out of its bounds.
func (o Options) Check() error {
	switch {
	case o.Gateways < 2 || o.Gateways > MaxGateways:
		return result.Invalid("gateways", "must lie between 2 and %d", MaxGateways)
	case o.Callers < 1 || o.Callers > MaxCallers:
		return result.Invalid("callers", "must lie between 1 and %d", MaxCallers)
	case o.UsageWrites != "" && o.UsageWrites != repo.WriteThrough && o.UsageWrites != repo.WriteBehind:
		return result.Invalid("usage-writes", "must be %s or %s", repo.WriteThrough, repo.WriteBehind)
	case o.Duration < 0:
		return result.Invalid("duration", "must not be negative")
	case o.Kills < 0:
		return result.Invalid("kills", "must not be negative")
	}
	return nil
}

var errIdle = errors.New("nothing was recorded")

// run is a running [Run].
type run struct {
	place   bench.Place
	servers Servers
	opts    Options
	traffic traffic
	book    *book
	again   retries
	slots   []*slot
	fail    context.CancelCauseFunc // ends the violence; the audit follows

	mu  sync.Mutex // guards rep during the violence
	rep Report
}

// Run lets gateways record on a place, with violence, until a bound is reached or
// ctx ends; then it lets them finish and audits, also after ctx. The report is nil
// where it did not come to that. An error says what went wrong with the torture
// itself; what it found is in the report.
func Run(ctx context.Context, p bench.Place, s Servers, o Options) (*Report, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	r := &run{
		place: p, servers: s, opts: o, book: newBook(o.UsageWrites == repo.WriteBehind), again: retries{random: rand.New(rand.NewPCG(o.Seed, 0))}, //nolint:gosec // to repeat it
		rep: Report{Seed: o.Seed, UsageWrites: cmp.Or(o.UsageWrites, repo.WriteThrough), Faults: make(map[string]int), Mismatches: make(map[string]int64), Examples: []string{}},
	}
	defer r.abandon()
	violently, fail := context.WithCancelCause(ctx)
	r.fail = fail
	if err := r.begin(ctx); err != nil {
		return nil, err
	}
	violence := r.violence(violently)
	if err := r.settle(context.WithoutCancel(ctx)); err != nil {
		return nil, errors.Join(violence, err)
	}
	if err := r.audit(context.WithoutCancel(ctx)); err != nil {
		return nil, errors.Join(violence, err)
	}
	if violence == nil && r.rep.Acknowledged == 0 {
		violence = errIdle
	}
	return &r.rep, violence
}

// begin makes the keys and starts the gateways.
func (r *run) begin(ctx context.Context) error {
	client, err := repo.Open(ctx, repo.Config{DatabaseURL: r.place.DatabaseURL, RedisURL: r.place.RedisURL, KeyPrefix: r.place.Prefix})
	if err != nil {
		return err
	}
	r.traffic.Begun = time.Now().UTC().Truncate(time.Microsecond)
	for range keys {
		k, err := client.APIKeys.CreateAPIKey(ctx, apikeys.KeyData{Name: "torture"}).Get()
		if err != nil {
			return errors.Join(err, client.Close(ctx))
		}
		r.traffic.Keys = append(r.traffic.Keys, apiKey{k.ID, k.HashedKey})
	}
	if err := client.Close(ctx); err != nil {
		return err
	}
	for n := range r.opts.Gateways {
		s, err := r.newSlot(n)
		if err != nil {
			return err
		}
		r.slots = append(r.slots, s)
	}
	for _, s := range r.slots {
		if err := s.start(); err != nil {
			return err
		}
	}
	return nil
}

// violence torments until a bound is reached. It gives an error where the torture
// failed or ctx ended.
func (r *run) violence(ctx context.Context) error {
	tormenting, stop := context.WithCancel(ctx)
	defer stop()
	var all sync.WaitGroup
	for i, t := range r.tormentors() {
		random := rand.New(rand.NewPCG(r.opts.Seed, uint64(i)+1)) //nolint:gosec // to repeat it
		all.Go(func() { r.torment(tormenting, t, random) })
	}
	all.Go(func() { r.retryLoop(tormenting) })
	all.Go(func() { r.auditLoop(tormenting) })
	r.await(ctx)
	stop()
	all.Wait()
	return context.Cause(ctx)
}

// await returns when there was enough violence.
func (r *run) await(ctx context.Context) {
	begun := time.Now()
	for pause(ctx, 50*time.Millisecond) {
		after := time.Since(begun)
		r.mu.Lock()
		kills := r.rep.Kills
		r.rep.Seconds = after.Seconds()
		r.mu.Unlock()
		if r.opts.Progress != nil {
			r.opts.Progress(kills, after)
		}
		switch {
		case r.opts.Duration > 0 && after >= r.opts.Duration, r.opts.Kills > 0 && kills >= r.opts.Kills:
			return
		case r.opts.Quick && (r.sawAll() || after > quickTimeout):
			return
		}
	}
}

func (r *run) note(f fault) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rep.Faults[f.name]++
	if f.kills {
		r.rep.Kills++
	}
}

func (r *run) started() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rep.Gateways++
}

// sawAll tells that every fault has happened and every path was taken.
func (r *run) sawAll() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, t := range r.tormentors() {
		for _, f := range t.faults {
			if r.rep.Faults[f.name] == 0 {
				return false
			}
		}
	}
	_, answered := r.book.count()
	d := r.sightings()
	return (answered > 0 || r.book.behind) && d.FastPath > 0 && d.OnConflict > 0 && d.Own > 0 && r.rep.Audits > 0
}

// sightings sums what all proxies have seen.
func (r *run) sightings() (d Duplicates) {
	for _, s := range r.slots {
		d.FastPath += s.seen.fast.Load()
		d.OnConflict += s.seen.conflict.Load()
		d.Own += s.seen.own.Load()
	}
	return d
}
