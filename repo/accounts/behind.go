package accounts

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/touches"
	"github.com/seed14a526e0/relaystore/strategy"
)

// knownTimeout is how long a status that may wait in the journal waits to hear whether its
// account exists; then the flush decides.
const knownTimeout = 250 * time.Millisecond

// waitingStatus is a status as the journal holds it. At is its moment, by its gateway's
// clock: an older one never takes the place of a newer one, nor of what was set since.
type waitingStatus struct {
	Account  uuid.UUID      `json:"account"`
	Status   string         `json:"status"`
	At       time.Time      `json:"at"`
	Metadata StatusMetadata `json:"metadata"`
}

// Check refuses what is the status of no account.
func (s waitingStatus) Check() error {
	if s.Account == uuid.Nil || s.At.Before(earliest) || s.At.After(latest) {
		return result.Invalid("account", "not the status of an account")
	}
	return errors.Join(oneOf("status", s.Status, Statuses), s.Metadata.check(s.At))
}

const (
	// maxSkew is more than the clocks of gateways differ: what is ahead by more was set by
	// one that was wrong, and must not keep all others' statuses out until then.
	maxSkew = time.Minute
	// statusesAtOnce bounds a transaction: of one account each is a statement, and all
	// together must be done before its deadline.
	statusesAtOnce = 100
)

// moments gives times that a process' statuses are ordered by, though its clock is put
// back by up to maxSkew.
type moments struct {
	mu   sync.Mutex
	last time.Time
}

func (m *moments) next(now time.Time) time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !now.After(m.last) && m.last.Sub(now) < maxSkew {
		now = m.last.Add(time.Microsecond)
	}
	m.last = now
	return now
}

// delay gives a status to the journal and tells whether that has acknowledged it. One that
// takes an account away is written through, as a revocation is: when it has returned, this
// process must not give the credentials as active ones.
func (r *Repo) delay(ctx context.Context, id uuid.UUID, status string, m *StatusMetadata, at time.Time) (acknowledged, unsure bool, err error) {
	if !r.Touches.On() || r.Primary.InTx() || status != Active && status != RateLimited {
		return false, false, nil
	}
	asking, cancel := context.WithTimeout(ctx, knownTimeout)
	defer cancel()
	switch rec, err := r.lookup(asking, id); {
	case err == nil && rec == nil:
		return false, false, result.RecordNotFound
	case ctx.Err() != nil:
		return false, false, ctx.Err()
	}
	err = r.Touches.Add(ctx, waitingStatus{id, status, at, *m})
	return err == nil, touches.Unsure(err), nil
}

// applyStatuses stores statuses that have waited, those of one account in the order of
// their moments. It drops those of accounts that there are not.
func (r *Repo) applyStatuses(ctx context.Context, all []waitingStatus) (dropped int, err error) {
	all = slices.Clone(all) // the caller's order is not ours
	slices.SortStableFunc(all, func(a, b waitingStatus) int { return a.At.Compare(b.At) })
	err = strategy.Followed(func() (err error) {
		switch l, err := r.onRedis(); {
		case err != nil:
			return err
		case l != nil:
			dropped, err = l.applyStatuses(ctx, all)
			return err
		}
		dropped = 0
		for some := range slices.Chunk(all, statusesAtOnce) {
			n, err := r.storeStatuses(ctx, some)
			if dropped += n; err != nil {
				return err
			}
		}
		return nil
	})
	return dropped, err
}

func (r *Repo) storeStatuses(ctx context.Context, all []waitingStatus) (dropped int, err error) {
	ids := make(map[uuid.UUID]bool)
	for _, s := range all {
		ids[s.Account] = true
	}
	var changed []uuid.UUID
	err = r.Primary.Write(ctx, func(ctx context.Context, tx db.DBTX) error {
		held, err := r.queries.AccountHold(ctx, tx, slices.SortedFunc(maps.Keys(ids), compareIDs))
		if err != nil {
			return err
		}
		known := slices.DeleteFunc(slices.Clone(all), func(s waitingStatus) bool { return !slices.Contains(held, s.Account) })
		dropped = len(all) - len(known)
		if err := r.storeUses(ctx, tx, known); err != nil {
			return err
		}
		changed, err = r.storeRounds(ctx, tx, known)
		return err
	})
	for _, id := range changed {
		r.evict(ctx, id)
	}
	return dropped, err
}

func compareIDs(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) }

// storeRounds stores the first status of each account, then the second, and so on. It gives
// the accounts whose cached copies must go.
func (r *Repo) storeRounds(ctx context.Context, tx db.DBTX, all []waitingStatus) (changed []uuid.UUID, err error) {
	for len(all) > 0 {
		var p db.AccountApplyStatusesParams
		var later []waitingStatus
		for _, s := range all {
			if slices.Contains(p.Ids, s.Account) {
				later = append(later, s)
				continue
			}
			tokens := int64(-1)
			if t := s.Metadata.TokensRemaining; t != nil {
				tokens = *t
			}
			p.Ids, p.Statuses, p.ErrorMessages = append(p.Ids, s.Account), append(p.Statuses, s.Status), append(p.ErrorMessages, s.Metadata.ErrorMessage)
			p.ResetAts, p.Tokens, p.Ats = append(p.ResetAts, s.Metadata.RateLimitResetAt), append(p.Tokens, tokens), append(p.Ats, s.At)
		}
		rows, err := r.queries.AccountApplyStatuses(ctx, tx, p)
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			if row.Changed {
				changed = append(changed, row.ID)
			}
		}
		all = later
	}
	return changed, nil
}

// storeUses is also for statuses that are too old: a use moves the last one forward.
func (r *Repo) storeUses(ctx context.Context, tx db.DBTX, all []waitingStatus) error {
	last := make(map[uuid.UUID]time.Time)
	for _, s := range all {
		if at := s.Metadata.LastRequestAt; at.After(last[s.Account]) {
			last[s.Account] = at
		}
	}
	if len(last) == 0 {
		return nil
	}
	var p db.AccountApplyUsesParams
	for id, at := range last {
		p.Ids, p.Ats = append(p.Ids, id), append(p.Ats, at)
	}
	return r.queries.AccountApplyUses(ctx, tx, p)
}

// applyStatuses is for statuses that have waited while Redis became the primary.
func (l *legacyAccounts) applyStatuses(ctx context.Context, all []waitingStatus) (dropped int, err error) {
	for _, s := range all {
		_, err := l.change(ctx, s.Account, func(f *found) (patch, error) { return f.latePatch(s, l.tick()), nil })
		switch {
		case errors.Is(err, pgx.ErrNoRows), errors.Is(err, result.RecordNotFound):
			dropped++
		case err != nil:
			return 0, err
		}
	}
	return dropped, nil
}

// latePatch sets a status where no later one was set since.
func (f *found) latePatch(s waitingStatus, now time.Time) patch {
	if last := f.statusAt(); last != nil && !s.At.After(*last) && last.Before(now.Add(maxSkew)) {
		return f.usePatch(s.Metadata.LastRequestAt)
	}
	p := f.statusPatch(s.Status, s.Metadata, s.At)
	p.set[ownStatusAt] = s.At.UTC().Format(time.RFC3339Nano)
	if s.At.Before(f.record().UpdatedAt) {
		delete(p.set, "updatedAt")
	}
	p.watch = append(p.watch, ownStatusAt)
	return p
}
