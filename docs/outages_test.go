package docs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/seed14a526e0/relaystore/repo/result"
)

// TestOutages brings each situation about and looks at each cell, in two halves with
// servers of their own.
func TestOutages(t *testing.T) {
	for half, indices := range map[string][]int{"PostgreSQL": {0, 1, 2, 6}, "Redis": {3, 4, 5, 7}} {
		t.Run(half, func(t *testing.T) {
			t.Parallel()
			o := startOutages(t)
			for _, i := range indices {
				t.Run(situations[i], func(t *testing.T) { o.check(t, i) })
			}
		})
	}
}

// outages are those of one pair of servers, as each way's gateway sees them.
type outages struct {
	*servers

	gateways []*gateway
}

func startOutages(t *testing.T) *outages {
	t.Helper()
	o := &outages{servers: startServers(t)}
	for way := range stored {
		o.gateways = append(o.gateways, openGateway(t, o.servers, way))
	}
	return o
}

// check breaks what works, looks at the cells, mends it, and has everything work again.
func (o *outages) check(t *testing.T, situation int) {
	name := situations[situation]
	slow := strings.HasSuffix(name, "slow")
	mend := o.breaks(t, situation)
	t.Cleanup(mend)
	o.requireEach(t, func(g *gateway) error {
		expected := g.expectedLater(situation)
		if err := g.leaveOpen(t.Context(), name); err != nil {
			return err
		}
		err := g.haveOutcomes(t.Context(), expected, slow)
		if err == nil && strings.HasPrefix(name, "Redis") { // and once nothing is fresh
			if err = g.becomes(t.Context(), func(beat time.Duration) bool { return beat < 0 || beat > staleness }); err == nil {
				err = g.haveOutcomes(t.Context(), expected, slow)
			}
		}
		return err
	})
	o.requireWaiting(t, situation, mend)
	o.requireEach(t, func(g *gateway) error { return g.works(t.Context()) })
}

// breaks lets everything work, brings a situation about and looks at what is cached:
// anew where the machine was so busy that it looked when that may have been over.
func (o *outages) breaks(t *testing.T, situation int) (mend func()) {
	t.Helper()
	name := situations[situation]
	slow := strings.HasSuffix(name, "slow")
	for range 5 {
		o.requireEach(t, func(g *gateway) error { return g.begin(t.Context(), slow) })
		fresh := time.Now().Add(staleness / 2)
		o.requireEach(t, func(g *gateway) error { return g.caches(t.Context()) })
		mend = o.change(t, name)
		err := o.each(func(g *gateway) error { return g.answersAtFirst(t.Context(), situation) })
		if err == nil {
			return mend
		}
		mend()
		require.True(t, time.Now().After(fresh), err)
	}
	t.Fatal("the machine is too busy")
	return nil
}

// each runs f for all gateways, at once.
func (o *outages) each(f func(*gateway) error) error {
	var all errgroup.Group
	for _, g := range o.gateways {
		all.Go(func() error {
			if err := f(g); err != nil {
				return fmt.Errorf("%s: %w", g.way, err)
			}
			return nil
		})
	}
	return all.Wait()
}

func (o *outages) requireEach(t *testing.T, f func(*gateway) error) {
	t.Helper()
	require.NoError(t, o.each(f))
}

// expected gives the calls of each outcome in a situation.
func (g *gateway) expected(situation int) map[outcome][]call {
	expected := make(map[outcome][]call)
	for _, group := range slices.Concat(onPostgresGroups, onRedisGroups) {
		if slices.Contains(group.ways, g.way) {
			o := group.outcomes[situation]
			expected[o] = append(expected[o], group.calls(g)...)
		}
	}
	return expected
}

var errNoOutcome = errors.New("a write that was under way does not say that it may have happened")

// leaveOpen has writes of one step under way when a Redis primary has stopped.
func (g *gateway) leaveOpen(ctx context.Context, situation string) error {
	if g.way != onRedis || situation != "Redis stopped" {
		return nil
	}
	var all errgroup.Group
	for _, c := range g.record() {
		all.Go(func() error {
			if err := c.do(ctx); err == nil || result.From(err).Details["outcomeUnknown"] != true {
				return fmt.Errorf("%s: %w: %w", c.name, errNoOutcome, cmp.Or(err, errAnswers))
			}
			return nil
		})
	}
	return all.Wait()
}

// answersAtFirst looks at the calls whose answers are cached.
func (g *gateway) answersAtFirst(ctx context.Context, situation int) error {
	expected := g.expected(situation)
	for now := range later {
		if err := g.haveOutcomes(ctx, map[outcome][]call{answers: expected[now]}, false); err != nil {
			return err
		}
	}
	return nil
}

// expectedLater is what is expected when no cached answer is left.
func (g *gateway) expectedLater(situation int) map[outcome][]call {
	expected := g.expected(situation)
	for now, of := range later {
		expected[of] = append(expected[of], expected[now]...)
		delete(expected, now)
	}
	return expected
}

// haveOutcomes looks at the calls, all at once.
func (g *gateway) haveOutcomes(ctx context.Context, expected map[outcome][]call, slow bool) error {
	var all errgroup.Group
	for o, calls := range expected {
		for _, c := range calls {
			all.Go(func() error { return g.outcome(ctx, o, c, slow) })
		}
	}
	return all.Wait()
}

var (
	errAnswers = errors.New("answers")
	errHangs   = errors.New("hangs beyond its deadline")
)

// hanging is longer than any call takes here, also on a busy machine.
const hanging = 20 * time.Second

func (g *gateway) outcome(ctx context.Context, want outcome, c call, slow bool) error {
	if slow || want == answers { // which a slow server or a busy machine has later than OpTimeout
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Minute)
		defer cancel()
	}
	for late := time.Now().Add(time.Minute); ; {
		began := time.Now()
		err := c.do(ctx)
		if !slow && time.Since(began) > hanging { // an answer, too: it has waited for the wrong server
			return fmt.Errorf("%s: %w, and not %s", c.name, errHangs, want)
		}
		if want == answers {
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			return nil
		}
		if err != nil && slices.Contains(codes[want], result.From(err).Code) {
			return nil
		}
		// Processes of a server outlive their postmaster for a moment.
		dying := want == fails && err != nil && slices.Contains(timeOuts, result.From(err).Code)
		if err != nil && !dying || time.Now().After(late) { // until then it is cached
			return fmt.Errorf("%s: %w, and not %s", c.name, cmp.Or(err, errAnswers), want)
		}
	}
}

// requireWaiting: what a stopped server keeps waiting is answered when it goes on.
func (o *outages) requireWaiting(t *testing.T, situation int, mend func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var waiting errgroup.Group
	for _, g := range o.gateways {
		for _, c := range g.expected(situation)[timesOut] {
			waiting.Go(func() error {
				if err := c.do(ctx); err != nil {
					return fmt.Errorf("%s: %s: %w", g.way, c.name, err)
				}
				return nil
			})
		}
	}
	mend()
	require.NoError(t, waiting.Wait())
}
