package torture

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"github.com/seed14a526e0/relaystore/internal/bench"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/usage"
)

// GatewayCommand is the hidden command of `relaystore torture` that runs Gateway.
const GatewayCommand = "gateway"

const (
	// openTimeout bounds the wait for PostgreSQL, which is down now and then.
	openTimeout = 2 * time.Minute
	// closeTimeout is how long a gateway drains.
	closeTimeout = 10 * time.Second
	// validateTimeout keeps callers recording while nobody answers about keys.
	validateTimeout = 300 * time.Millisecond
	// longestPause is drawn from after every other call, so that records come
	// neither one by one nor at PostgreSQL's pace: a thousand or two a second, all in
	// all, are enough to meet each other, and few enough to audit.
	longestPause = 40 * time.Millisecond
	// maxOrders bounds a gateway's retries at a time.
	maxOrders = 64
)

// Gateway is a child of [Run]: its callers record until they are told to rest, and
// it ends in order when there are no more orders.
func Gateway(p bench.Place, orders io.Reader, reports io.Writer) error {
	dec := json.NewDecoder(orders)
	var s setup
	if err := dec.Decode(&s); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	queue := make(chan order, maxOrders)
	go func() {
		defer stop()
		for {
			var o order
			if dec.Decode(&o) != nil {
				return
			}
			queue <- o
		}
	}()
	client, err := open(ctx, p)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	g := &gateway{client: client, traffic: &s.traffic, reports: json.NewEncoder(reports), sabotage: os.Getenv(sabotageVar)}
	g.serve(ctx, s, queue)
	return nil
}

// open tries until PostgreSQL is there.
func open(ctx context.Context, p bench.Place) (*repo.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	for {
		client, err := repo.Open(ctx, repo.Config{
			DatabaseURL: p.DatabaseURL, RedisURL: p.RedisURL, KeyPrefix: p.Prefix, Logger: slog.New(slog.DiscardHandler),
		})
		if err == nil || !pause(ctx, 20*time.Millisecond) {
			return client, err
		}
	}
}

// gateway is an open library with its callers.
type gateway struct {
	client   *repo.Client
	traffic  *traffic
	sabotage string

	calls sync.WaitGroup

	mu      sync.Mutex
	reports *json.Encoder
}

// serve obeys until ctx ends. The client is closed while callers wait for their
// answers, as when a gateway is told to stop.
func (g *gateway) serve(ctx context.Context, s setup, orders <-chan order) {
	recording, rest := context.WithCancel(ctx)
	defer rest()
	for i := range s.Callers {
		g.calls.Go(func() { g.call(recording, s.First+int64(i)) })
	}
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case o := <-orders:
			if o.Retry != nil {
				g.calls.Go(func() { g.record([]mark{*o.Retry}, true) })
			}
			if o.Rest {
				rest()
				g.calls.Wait()
				g.tell(report{Event: resting})
			}
		}
	}
	closing, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	_ = g.client.Close(closing) // callers are told what could not be written
	g.calls.Wait()
}

// call is one caller: it validates a key and records, again and again.
func (g *gateway) call(ctx context.Context, stream int64) {
	random := rand.New(rand.NewPCG(1, uint64(stream))) //nolint:gosec // to repeat it
	for sent := int64(0); ctx.Err() == nil; {
		g.validate(ctx, g.traffic.Keys[random.IntN(len(g.traffic.Keys))])
		marks := draw(random, stream, &sent)
		for _, m := range marks {
			g.tell(report{mark: m, Event: begins})
		}
		g.record(marks, false)
		if random.IntN(2) == 0 {
			pause(ctx, time.Duration(random.Int64N(int64(longestPause))))
		}
	}
}

// draw gives the caller's next record or, one time in sixteen, some of them for one
// call, the first one twice.
func draw(random *rand.Rand, stream int64, sent *int64) (marks []mark) {
	n := 1
	if random.IntN(16) == 0 {
		n = 2 + random.IntN(20)
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

// record calls the library and tells what it answered. One call in eight gives up
// early: what has not begun to be written then is not written.
func (g *gateway) record(marks []mark, retry bool) {
	ctx := context.Background()
	if first := marks[0].Number; first%8 == 1 && !retry {
		impatient, cancel := context.WithTimeout(ctx, time.Duration(first%5)*time.Millisecond)
		defer cancel()
		ctx = impatient
	}
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

// tell writes one line; where nobody reads any more, the orders end as well.
func (g *gateway) tell(r report) {
	g.mu.Lock()
	defer g.mu.Unlock()
	_ = g.reports.Encode(r)
}

// pause is false where ctx ended it.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
