package torture

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"sync"

	"github.com/seed14a526e0/relaystore/internal/bench"
	"github.com/seed14a526e0/relaystore/repo"
)

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
	err := r.violence(violently)
	ctx = context.WithoutCancel(ctx)
	err = errors.Join(err, r.settle(ctx))
	if auditing := r.audit(ctx); auditing != nil {
		return nil, errors.Join(err, auditing)
	}
	if err == nil && r.rep.Acknowledged == 0 {
		err = errIdle
	}
	return &r.rep, err
}
