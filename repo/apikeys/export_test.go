package apikeys

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// SetClock puts another clock in time.Now's place, before the first call.
func (r *Repo) SetClock(now func() time.Time) { r.now = now }

// StoreLastUsed stores last uses, as the background does.
func (r *Repo) StoreLastUsed(ctx context.Context, at map[uuid.UUID]time.Time) error {
	return r.storeLastUsed(ctx, at)
}
