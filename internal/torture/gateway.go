package torture

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/seed14a526e0/relaystore/internal/bench"
	"github.com/seed14a526e0/relaystore/repo"
)

// GatewayCommand is the hidden command of `relaystore torture` that runs Gateway.
const GatewayCommand = "gateway"

const (
	// openTimeout bounds the wait for PostgreSQL, which is down now and then.
	openTimeout = 2 * time.Minute
	// closeTimeout is how long a gateway drains.
	closeTimeout = 10 * time.Second
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
	client, err := open(ctx, p, s.UsageWrites)
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
func open(ctx context.Context, p bench.Place, usageWrites string) (*repo.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	for {
		client, err := repo.Open(ctx, repo.Config{
			DatabaseURL: p.DatabaseURL, RedisURL: p.RedisURL, KeyPrefix: p.Prefix, UsageWrites: usageWrites,
			Logger: slog.New(slog.DiscardHandler),
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
				g.calls.Go(func() { g.record(context.Background(), []mark{*o.Retry}, true) })
			}
			if o.Rest {
				rest()
				g.calls.Wait()
				g.drained(ctx, s.UsageWrites)
				g.tell(report{Event: resting})
			}
		}
	}
	closing, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	_ = g.client.Close(closing) // callers are told what could not be written
	g.calls.Wait()
}

// drained waits until the journal is empty.
func (g *gateway) drained(ctx context.Context, usageWrites string) {
	for usageWrites == repo.WriteBehind {
		health, err := g.client.Usage.JournalHealth(ctx)
		if err == nil && health.Unflushed == 0 || !pause(ctx, 20*time.Millisecond) {
			return
		}
	}
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
