package apikeys

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

// use is a key's last use as the journal holds it. Times only move forward: in what order
// they come, and how often, does not matter.
type use struct {
	Key uuid.UUID `json:"key"`
	At  time.Time `json:"at"`
}

var firstUse = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// Check refuses a use of no key, or at no time.
func (u use) Check() error {
	if u.Key == uuid.Nil || u.At.Before(firstUse) {
		return result.Invalid("key", "not the use of a key")
	}
	return nil
}

// noteUses gives last uses to the journal, or where it does not take them, to the primary.
func (r *Repo) noteUses(ctx context.Context, at map[uuid.UUID]time.Time) error {
	if r.Touches.On() {
		entries := make([]any, 0, len(at))
		for id, t := range at {
			entries = append(entries, use{id, t.UTC()})
		}
		if r.Touches.Add(ctx, entries...) == nil {
			return nil
		}
	}
	return r.storeLastUsed(ctx, at)
}

// applyUses stores last uses that have waited. Those of keys that are deleted harm nothing.
func (r *Repo) applyUses(ctx context.Context, uses []use) (dropped int, err error) {
	at := make(map[uuid.UUID]time.Time, len(uses))
	for _, u := range uses {
		if u.At.After(at[u.Key]) {
			at[u.Key] = u.At
		}
	}
	return 0, strategy.Followed(func() error { return r.storeLastUsed(ctx, at) })
}
