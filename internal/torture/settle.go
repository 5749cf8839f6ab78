package torture

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	// settleTimeout bounds each step towards the end. The longest calls take 5 s, a
	// compactor looks after what dead processes left every 10 s, and a journal hands
	// that over after 30 s.
	settleTimeout = 3 * time.Minute
	settleEvery   = 20 * time.Millisecond
)

var errUnsettled = errors.New("the gateways do not come to rest")

// settle lets every caller have its answer, the compactor finish and the gateways
// end. What is still pending after that time stays so: it counts as such.
func (r *run) settle(ctx context.Context) error {
	r.rep.Duplicates = r.sightings()
	for _, s := range r.slots {
		s.present().rest()
	}
	late := time.After(settleTimeout)
	for _, s := range r.slots {
		select {
		case <-s.present().rested:
		case <-s.present().done:
			return fmt.Errorf("gateway %d ended before the audit: %w", s.n+1, s.present().err)
		case <-late:
			return errUnsettled
		}
	}
	_ = r.becomes(ctx, "SELECT NOT EXISTS (SELECT FROM usage_pending)")
	r.rep.Duplicates = r.sightings()
	for _, s := range r.slots {
		if err := s.present().close(); err != nil {
			return fmt.Errorf("gateway %d did not end well: %w", s.n+1, err)
		}
		s.proxy.Close()
	}
	// What a dead gateway sent may still be at work.
	return r.becomes(ctx, `SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()
		AND backend_type = 'client backend' AND pid <> pg_backend_pid())`)
}

// becomes waits until the answer is yes.
func (r *run) becomes(ctx context.Context, sql string) error {
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	for {
		var yes bool
		if err := r.ask(ctx, sql, &yes); err != nil {
			return err
		}
		if yes {
			return nil
		}
		if !pause(ctx, settleEvery) {
			return ctx.Err()
		}
	}
}

// abandon leaves no process and no proxy behind, however the run ended.
func (r *run) abandon() {
	for _, s := range r.slots {
		if c := s.present(); c != nil {
			c.kill()
		}
		s.proxy.Close()
	}
}
