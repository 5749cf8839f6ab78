package torture

import (
	"context"
	"math/rand/v2"
	"regexp"
	"time"

	"github.com/seed14a526e0/relaystore/internal/faultproxy"
)

const (
	// strikeTimeout is how long an armed fault waits for its moment.
	strikeTimeout = 2 * time.Second
	// longestStall is longer than the library's OpTimeout: what was held arrives when
	// its caller has been told that the outcome is unknown.
	longestStall = 7 * time.Second
	// longestCut is how long nothing comes through.
	longestCut = 3 * time.Second
	// These bound the bytes that still pass before a cut anywhere: some statements.
	farthestUp, farthestDown = 16 << 10, 2 << 10
)

// wireFaults break the connections of a slot's gateway.
func (s *slot) wireFaults() []fault {
	return []fault{
		{name: "cut before the commit's acknowledgement", often: 3, do: s.cutAt(fastPath, faultproxy.CutBefore)},
		{name: "cut after the commit's acknowledgement", often: 3, do: s.cutAt(fastPath, faultproxy.CutAfter)},
		{name: "cut before ON CONFLICT's acknowledgement", often: 3, do: s.cutAt(conflictPath, faultproxy.CutBefore)},
		{name: "cut after ON CONFLICT's acknowledgement", often: 3, do: s.cutAt(conflictPath, faultproxy.CutAfter)},
		{name: "cut somewhere on the way to PostgreSQL", often: 2, do: s.cutAnywhere(faultproxy.ToServer, farthestUp)},
		{name: "cut somewhere on the way back", often: 2, do: s.cutAnywhere(faultproxy.ToClient, farthestDown)},
		{name: "connections stalled", do: s.stall},
		{name: "connections cut off", do: s.cutOff},
	}
}

func (s *slot) cutAt(pattern *regexp.Regexp, action faultproxy.Action) func(context.Context, *rand.Rand) (bool, error) {
	return func(ctx context.Context, _ *rand.Rand) (bool, error) {
		return s.await(ctx, s.proxy.OnMatch(faultproxy.ToClient, pattern, action)), nil
	}
}

func (s *slot) cutAnywhere(d faultproxy.Direction, farthest int64) func(context.Context, *rand.Rand) (bool, error) {
	return func(ctx context.Context, random *rand.Rand) (bool, error) {
		return s.await(ctx, s.proxy.After(d, 1+random.Int64N(farthest), faultproxy.CutAfter)), nil
	}
}

// await tells whether an armed fault has struck; else it is taken back.
func (s *slot) await(ctx context.Context, struck <-chan struct{}) bool {
	ctx, cancel := context.WithTimeout(ctx, strikeTimeout)
	defer cancel()
	select {
	case <-struck:
		return true
	case <-ctx.Done():
		return !s.proxy.Disarm()
	}
}

func (s *slot) stall(ctx context.Context, random *rand.Rand) (bool, error) {
	s.proxy.Stall()
	defer s.proxy.Pass()
	s.run.while(ctx, random, longestStall)
	return true, nil
}

func (s *slot) cutOff(ctx context.Context, random *rand.Rand) (bool, error) {
	s.proxy.Cut()
	defer s.proxy.Pass()
	s.run.while(ctx, random, longestCut)
	return true, nil
}
