package bench

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	cleanupCallers = 8
	cleanupMonths  = 6
	// normalSpan is how long recording is measured without a clean-up.
	normalSpan = 3 * time.Second
)

// CleanupFigures are of a clean-up of all months but the last six and this one.
type CleanupFigures struct {
	DeletedRecords   int64 `json:"deletedRecords"`
	RemainingRecords int64 `json:"remainingRecords"`
	// TookMs is CleanupOldStats, DeleteMs a DELETE of the same rows (rolled back).
	TookMs   float64 `json:"tookMs"`
	DeleteMs float64 `json:"deleteMs"`
	// RecordP99Ms is of eight callers that record meanwhile, RecordNormalP99Ms of
	// the same ones before.
	RecordP99Ms       float64 `json:"recordP99Ms"`
	RecordNormalP99Ms float64 `json:"recordNormalP99Ms"`
}

// cleanup has a cut at the beginning of a month, so that only whole months go.
func (s *statsBench) cleanup(ctx context.Context) (*CleanupFigures, error) {
	today := s.now.Truncate(24 * time.Hour)
	cut := time.Date(today.Year(), today.Month()-cleanupMonths, 1, 0, 0, 0, 0, time.UTC)
	f := &CleanupFigures{}
	begin := time.Now()
	if err := s.deleteBefore(ctx, cut); err != nil {
		return nil, err
	}
	f.DeleteMs = rounded(milliseconds(time.Since(begin)), 0)
	normal, err := s.recordDuring(ctx, func(ctx context.Context) error { return sleep(ctx, normalSpan) })
	if err != nil {
		return nil, err
	}
	f.RecordNormalP99Ms = rounded(percentile(normal, 0.99), 2)
	meanwhile, err := s.recordDuring(ctx, func(ctx context.Context) error {
		begin := time.Now()
		c, err := s.lib.Usage.CleanupOldStats(ctx, int(today.Sub(cut)/(24*time.Hour))).Get()
		f.TookMs = rounded(milliseconds(time.Since(begin)), 0)
		f.DeletedRecords, f.RemainingRecords = c.DeletedRecords, c.RemainingRecords
		return err
	})
	if err != nil {
		return nil, err
	}
	f.RecordP99Ms = rounded(percentile(meanwhile, 0.99), 2)
	return f, nil
}

func (s *statsBench) deleteBefore(ctx context.Context, cut time.Time) error {
	tx, err := s.conn.Begin(ctx)
	if err != nil {
		return err
	}
	defer tx.Rollback(context.WithoutCancel(ctx)) //nolint:errcheck // what it is for
	_, err = tx.Exec(ctx, "DELETE FROM usage_records WHERE occurred_at < $1", cut)
	return err
}

// recordDuring records while f runs and gives the milliseconds of each call.
func (s *statsBench) recordDuring(ctx context.Context, f func(context.Context) error) ([]float64, error) {
	group, inner := errgroup.WithContext(ctx)
	recording, stop := context.WithCancel(inner)
	took := make([][]float64, cleanupCallers)
	for i := range took {
		group.Go(func() error {
			for stream := s.traffic.stream(baselineCaller + i); recording.Err() == nil; {
				begin := time.Now()
				if err := s.lib.Usage.RecordUsage(inner, stream.next()).Err(); err != nil {
					return err
				}
				took[i] = append(took[i], milliseconds(time.Since(begin)))
			}
			return nil
		})
	}
	err := f(ctx)
	stop()
	if other := group.Wait(); err == nil {
		err = other
	}
	var all []float64
	for _, t := range took {
		all = append(all, t...)
	}
	return all, err
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
