package torture

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

const (
	// settleTimeout bounds each step towards the end. The longest calls take 5 s, a
	// compactor looks after what dead processes left every 10 s, and a journal hands
	// that over after 30 s.
	settleTimeout = 3 * time.Minute
	settleEvery   = 20 * time.Millisecond
)

// settle lets every caller have its answer, the compactor finish and the gateways
// end. What is still pending after that time stays so: it counts as such.
// A gateway that does not get that far is an error, and no reason not to audit.
func (r *run) settle(ctx context.Context) error {
	for _, s := range r.slots {
		s.present().rest()
	}
	late, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	var errs []error
	for _, s := range r.slots {
		errs = append(errs, s.awaitRest(late))
	}
	if slices.Contains(errs, nil) { // somebody is left to compact
		_ = r.becomes(ctx, "SELECT NOT EXISTS (SELECT FROM usage_pending)")
	}
	r.rep.Duplicates = r.sightings()
	for i, s := range r.slots {
		if err := s.present().close(); err != nil && errs[i] == nil {
			errs[i] = s.endedBadly(err)
		}
		s.proxy.Close()
	}
	// What a dead gateway sent may still be at work.
	errs = append(errs, r.becomes(ctx, `SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()
		AND backend_type = 'client backend' AND pid <> pg_backend_pid())`))
	return errors.Join(errs...)
}

func (s *slot) awaitRest(ctx context.Context) error {
	c := s.present()
	select {
	case <-c.rested:
		return nil
	case <-c.done:
		return s.endedBadly(c.err)
	case <-ctx.Done():
		c.kill()
		return fmt.Errorf("gateway %d does not come to rest", s.n+1)
	}
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
