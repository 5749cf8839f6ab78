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

// check lets everything work, breaks it, looks at the cells, mends it, and has
// everything work again.
func (o *outages) check(t *testing.T, situation int) {
	name := situations[situation]
	slow := strings.HasSuffix(name, "slow")
	o.each(t, func(t *testing.T, g *gateway) { g.begin(t, slow) })
	o.each(t, func(t *testing.T, g *gateway) { g.caches(t) })
	mend := o.change(t, name)
	t.Cleanup(mend)
	o.each(t, func(t *testing.T, g *gateway) {
		expected := g.expected(situation)
		g.requireCached(t, expected)
		g.requireOutcomes(t, expected, slow)
		if strings.HasPrefix(name, "Redis") {
			g.becomes(t, func(beat time.Duration) bool { return beat < 0 || beat > staleness })
			g.requireOutcomes(t, expected, slow)
		}
	})
	o.requireWaiting(t, situation, mend)
	o.each(t, func(t *testing.T, g *gateway) { g.works(t) })
}

// each runs f for all gateways, at once.
func (o *outages) each(t *testing.T, f func(*testing.T, *gateway)) {
	t.Helper()
	t.Run("gateways", func(t *testing.T) {
		for _, g := range o.gateways {
			t.Run(g.way, func(t *testing.T) {
				t.Parallel()
				f(t, g)
			})
		}
	})
	if t.Failed() {
		t.FailNow()
	}
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

// requireCached looks at the calls that answer at first, and expects the later outcome
// of them from now on.
func (g *gateway) requireCached(t *testing.T, expected map[outcome][]call) {
	t.Helper()
	for now, of := range later {
		var all errgroup.Group
		for _, c := range expected[now] {
			all.Go(func() error { return g.outcome(t, answers, c, false) })
		}
		require.NoError(t, all.Wait())
		expected[of] = append(expected[of], expected[now]...)
	}
}

// requireOutcomes looks at the calls, all at once.
func (g *gateway) requireOutcomes(t *testing.T, expected map[outcome][]call, slow bool) {
	t.Helper()
	var all errgroup.Group
	for o, calls := range expected {
		if later[o] != "" {
			continue
		}
		for _, c := range calls {
			all.Go(func() error { return g.outcome(t, o, c, slow) })
		}
	}
	require.NoError(t, all.Wait())
}

var (
	errAnswers = errors.New("answers")
	errHangs   = errors.New("hangs beyond its deadline")
)

// hanging is how much longer than its deadline no call takes on a busy machine.
const hanging = 20 * time.Second

func (g *gateway) outcome(t *testing.T, want outcome, c call, slow bool) error {
	ctx := t.Context()
	if slow { // an answer takes longer than OpTimeout lets it here
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Minute)
		defer cancel()
	}
	for late := time.Now().Add(time.Minute); ; {
		began := time.Now()
		err := c.do(ctx)
		if !slow && time.Since(began) > hanging {
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
