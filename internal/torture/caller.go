package torture

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/usage"
)

const (
	// validateTimeout keeps callers recording while nobody answers about keys.
	validateTimeout = 300 * time.Millisecond
	// longestPause is drawn from after every other call, so that records come
	// neither one by one nor at PostgreSQL's pace: a thousand or two a second, all in
	// all, are enough to meet each other, and few enough to audit.
	longestPause = 40 * time.Millisecond
	// seldom is how often a caller gives several records at once, or gives up early.
	seldom = 16
	// maxAtOnce bounds the records of one call.
	maxAtOnce = 20
	// impatience is longer than most commits take.
	impatience = 5 * time.Millisecond
)

// call is one caller: it validates a key and records, again and again.
func (g *gateway) call(ctx context.Context, stream int64) {
	random := rand.New(rand.NewPCG(1, uint64(stream))) //nolint:gosec // to repeat it
	for sent := int64(0); ctx.Err() == nil; {
		g.validate(ctx, g.traffic.Keys[random.IntN(len(g.traffic.Keys))])
		marks := draw(random, stream, &sent)
		for _, m := range marks {
			g.tell(report{mark: m, Event: begins})
		}
		g.recordInTime(random, marks)
		if random.IntN(2) == 0 {
			pause(ctx, time.Duration(random.Int64N(int64(longestPause))))
		}
	}
}

// draw gives the caller's next record or, now and then, some for one call, the first
// one twice.
func draw(random *rand.Rand, stream int64, sent *int64) (marks []mark) {
	n := 1
	if random.IntN(seldom) == 0 {
		n = 2 + random.IntN(maxAtOnce-1)
	}
	for range n {
		*sent++
		marks = append(marks, mark{stream, *sent})
	}
	if n > 1 && marks[0].requestID() != "" {
		marks = append(marks, marks[0])
	}
	return marks
}

// validate tells where a key, all of which are active, is said to be none.
func (g *gateway) validate(ctx context.Context, k apiKey) {
	ctx, cancel := context.WithTimeout(ctx, validateTimeout)
	defer cancel()
	v, err := g.client.APIKeys.ValidateAPIKey(ctx, k.Hash).Get()
	if err == nil && !v.IsActive || errors.Is(err, result.RecordNotFound) {
		g.tell(report{Event: wrong})
	}
}

// recordInTime gives up early now and then: what has not begun to be written then
// must not be written.
func (g *gateway) recordInTime(random *rand.Rand, marks []mark) {
	ctx := context.Background()
	if random.IntN(seldom) == 0 {
		impatient, cancel := context.WithTimeout(ctx, time.Duration(random.Int64N(int64(impatience))))
		defer cancel()
		ctx = impatient
	}
	g.record(ctx, marks, false)
}

// record calls the library and tells what it answered.
func (g *gateway) record(ctx context.Context, marks []mark, retry bool) {
	recs := make([]usage.Record, len(marks))
	for i, m := range marks {
		recs[i] = g.traffic.record(m)
	}
	if g.spoil(recs, marks, retry) {
		return
	}
	answers := g.write(ctx, recs)
	for i, m := range marks {
		g.tell(answer(m, retry, answers[i]))
	}
}

func (g *gateway) write(ctx context.Context, recs []usage.Record) []result.Status {
	if len(recs) == 1 {
		return []result.Status{g.client.Usage.RecordUsage(ctx, recs[0])}
	}
	return g.client.Usage.RecordUsageBatch(ctx, recs)
}

func answer(m mark, retry bool, status result.Status) report {
	r := report{mark: m, Retry: retry, Event: counted}
	if err := status.Err(); err != nil {
		e := result.From(err)
		r.Event, r.Code, r.Unknown = failed, string(e.Code), e.Details["outcomeUnknown"] == true
	} else if status.Duplicate {
		r.Event = duplicate
	}
	return r
}
