package torture

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"
)

// fault is one kind of violence.
type fault struct {
	name string
	// kills tells that it ends a process by force.
	kills bool
	// often is how many times it comes in a round of its tormentor; 0 is once.
	often int
	// do does it and mends it, early where ctx ends. It is false where there was
	// nothing to break.
	do func(ctx context.Context, random *rand.Rand) (bool, error)
}

// tormentor does its faults one after another. Several of them work at the same
// time, so that faults overlap.
type tormentor struct {
	// mean is the pause between two faults, on average.
	mean   time.Duration
	faults []fault
}

// tormentors are one for each gateway, one for each gateway's connections, and one
// for each server.
func (r *run) tormentors() (all []tormentor) {
	for _, s := range r.slots {
		all = append(all,
			tormentor{5 * time.Second, s.gatewayFaults()},
			tormentor{700 * time.Millisecond, s.wireFaults()})
	}
	return append(all,
		tormentor{8 * time.Second, r.postgresFaults()},
		tormentor{8 * time.Second, r.redisFaults()})
}

// torment goes on until ctx ends. In each round every fault has its turns, in
// another order.
func (r *run) torment(ctx context.Context, t tormentor, random *rand.Rand) {
	var round []fault
	for _, f := range t.faults {
		round = append(round, slices.Repeat([]fault{f}, max(1, f.often))...)
	}
	for len(round) > 0 {
		random.Shuffle(len(round), func(i, j int) { round[i], round[j] = round[j], round[i] })
		for _, f := range round {
			if r.while(ctx, random, 2*t.mean); ctx.Err() != nil {
				return
			}
			done, err := f.do(ctx, random)
			if err != nil {
				r.fail(err)
				return
			}
			if done {
				r.note(f)
			}
		}
	}
}

// while waits a drawn time of at most longest, and not beyond ctx.
func (r *run) while(ctx context.Context, random *rand.Rand, longest time.Duration) {
	pause(ctx, r.scaled(time.Duration(random.Int64N(int64(longest)))))
}

// scaled makes a quick run's times short.
func (r *run) scaled(d time.Duration) time.Duration {
	if r.opts.Quick {
		return d / quickly
	}
	return d
}

func (s *slot) gatewayFaults() []fault {
	return []fault{
		{name: "gateway killed", kills: true, often: 4, do: s.killGateway},
		{name: "gateway closed", do: s.closeGateway},
	}
}
