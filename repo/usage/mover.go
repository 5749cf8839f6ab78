package usage

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/internal/legacy"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

// mover copies figures from one primary to the other. PostgreSQL keeps its ledger
// throughout: Redis gets all counters anew, PostgreSQL what Redis has counted since.
type mover struct{ *Repo }

var (
	_ strategy.Mover    = mover{}
	_ strategy.Preparer = mover{}
)

// Mover copies usage when its primary is switched. What it cannot carry to Redis: records
// themselves (usage:records and billing:events stay as Redis has them), the weekly sums of
// Claude models, and prices before multipliers; of long contexts and the parts of cache
// tokens, what an import has kept. To PostgreSQL it carries
// no record either: figures, by the layout's hours, days and months.
func (r *Repo) Mover() strategy.Mover { return mover{r} }

// CopiedKey is in a Redis to which a move has begun to copy usage: its counters are not
// another service's alone any more. It stays.
const CopiedKey = "relaystore:copied:usage"

var markCopied = strategy.NewScript(`return redis.call('SET', KEYS[1], 1)`)

// HasCounted tells whether PostgreSQL has usage that was recorded here, beside what was
// imported.
func (r *Repo) HasCounted(ctx context.Context) (counted bool, err error) {
	err = r.Primary.Read(ctx, func(ctx context.Context, c db.DBTX) (err error) {
		counted, err = r.queries.UsageMoveCounted(ctx, c)
		return err
	})
	return counted, err
}

const (
	// movedOwners and movedRows bound what is read of PostgreSQL at a time.
	movedOwners = 64
	movedRows   = 100_000
	// movedIDs bounds the requestIds of one round trip.
	movedIDs = 2_000
	// drainPatience is how long a move waits for the journal, and for a compaction.
	drainPatience = 10 * time.Second
	drainEvery    = 20 * time.Millisecond
)

var scopes = []Scope{ScopeKey, ScopeAccount}

// ToRedis writes all counters that the layout has of what PostgreSQL has counted, in the
// place of those that Redis had. It is InvalidQuery where Redis has counted more of a key.
func (m mover) ToRedis(ctx context.Context, move strategy.Move) error {
	if err := m.drained(ctx); err != nil {
		return err
	}
	if err := m.compacted(ctx); err != nil {
		return err
	}
	orphans, err := m.foreign(ctx, move)
	if err != nil {
		return err
	}
	if _, err := move.Redis.Write(ctx, strategy.Usage, markCopied, []string{CopiedKey}, nil); err != nil {
		return err
	}
	w := &layoutWriter{redis: move.Redis, keep: m.keeping(move), everybody: newHolding(ScopeKey, uuid.Nil)}
	if err := w.empty(ctx, orphans); err != nil {
		return err
	}
	var done int64
	for _, scope := range scopes {
		err := m.owners(ctx, move.Postgres, scope, func(ids []uuid.UUID) error {
			page, err := m.holdings(ctx, move.Postgres, w.keep, w.keep.since(), scope, ids)
			if err != nil {
				return err
			}
			if err := m.addRests(ctx, page); err != nil {
				return err
			}
			for _, h := range page {
				if err := w.owner(ctx, h); err != nil {
					return err
				}
			}
			done += int64(len(ids))
			move.Progress(done, 0)
			return nil
		})
		if err != nil {
			return err
		}
	}
	if err := w.finish(ctx); err != nil {
		return err
	}
	return m.requestsToRedis(ctx, move)
}

func (m mover) keeping(move strategy.Move) keeping { return keeping{m.now(), move.Redis.Zone} }

// Prepare waits until the journal is flushed, which nobody can do while the writers wait.
// A journal in use never is: usage must be written through first.
func (m mover) Prepare(ctx context.Context, to strategy.Primary) error {
	if m.behind == nil || to != strategy.PrimaryRedis {
		return nil
	}
	if !m.through.Load() {
		return result.Invalid("writeStrategy", "usage is written behind: switch it to write_through, then move it")
	}
	ctx, cancel := context.WithTimeout(ctx, drainPatience)
	defer cancel()
	for {
		err := m.drained(ctx)
		if err == nil || !errors.Is(err, result.ReadOnly) {
			return err
		}
		if pause(ctx, drainEvery); ctx.Err() != nil {
			return err
		}
	}
}

// drained refuses to move while the journal has records: they would count later, where
// nobody looks any more.
func (m mover) drained(ctx context.Context) error {
	if m.behind == nil {
		return nil
	}
	h, err := m.JournalHealth(ctx)
	if err == nil && h.Unflushed > 0 {
		err = result.New(result.ReadOnly, "%d usage records wait in the journal: usage moves when they are flushed", h.Unflushed).With("unflushed", h.Unflushed)
	}
	return err
}

// compacted waits until each record is in the rollups.
func (m mover) compacted(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, drainPatience, result.New(result.QueryTimeout, "usage was not compacted within %s", drainPatience))
	defer cancel()
	for {
		if err := m.compact(ctx); err != nil {
			return err
		}
		pending := false
		err := m.Primary.Read(ctx, func(ctx context.Context, c db.DBTX) (err error) {
			pending, err = m.queries.UsageMovePending(ctx, c)
			return err
		})
		if err != nil || !pending {
			return err
		}
		if pause(ctx, drainEvery); ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}

// owners gives all keys or accounts that PostgreSQL has usage of. The nil UUID is no
// account's, which records may have.
func (m mover) owners(ctx context.Context, p *strategy.Postgres, scope Scope, f func([]uuid.UUID) error) error {
	if scope == ScopeAccount {
		if err := f([]uuid.UUID{uuid.Nil}); err != nil {
			return err
		}
	}
	for after := uuid.Nil; ; {
		var ids []uuid.UUID
		err := p.Read(ctx, func(ctx context.Context, c db.DBTX) (err error) {
			ids, err = m.queries.UsageMoveIDs(ctx, c, db.UsageMoveIDsParams{Scope: string(scope), After: after, RowLimit: movedOwners})
			return err
		})
		if err != nil || len(ids) == 0 {
			return err
		}
		if err := f(ids); err != nil {
			return err
		}
		after = ids[len(ids)-1]
	}
}

// requestsToRedis makes repeats duplicates there, too, for as long as they were here.
func (m mover) requestsToRedis(ctx context.Context, move strategy.Move) error {
	for after := uuid.Nil; ; {
		var page []db.UsageRequest
		err := move.Postgres.Read(ctx, func(ctx context.Context, c db.DBTX) (err error) {
			page, err = m.queries.UsageMoveRequests(ctx, c, db.UsageMoveRequestsParams{After: after, RowLimit: movedIDs})
			return err
		})
		if err != nil || len(page) == 0 {
			return err
		}
		w := &layoutWriter{redis: move.Redis}
		for _, q := range page {
			if left := q.RecordedOn.Add(m.RequestIDWindow + day).Sub(m.now()); left > time.Second {
				w.put("SET", requestPrefix+q.RequestHash.String(), left, []string{"moved"})
			}
		}
		if err := w.flush(ctx); err != nil {
			return err
		}
		after = page[len(page)-1].RequestHash
	}
}

// holding is what a key or an account has used, as the layout divides it.
type holding struct {
	scope Scope
	id    uuid.UUID
	cells map[spot]*tally
}

// spot is a counter's place: the model "" is over all models.
type spot struct {
	bucket
	model string
}

// tally is what a counter says. Priced are the requests whose cost is known, charged
// tells that a cost was found at all.
type tally struct {
	legacy.Counter

	cost    decimal.Decimal
	priced  int64
	charged bool
	longs   longUse           // of an import's
	others  map[string]string // fields of an import's that count nothing here
}

func newHolding(scope Scope, id uuid.UUID) *holding {
	return &holding{scope, id, make(map[spot]*tally)}
}

func (h *holding) at(res legacy.Resolution, name, model string) *tally {
	c := spot{bucket{res, name}, model}
	t := h.cells[c]
	if t == nil {
		t = &tally{}
		h.cells[c] = t
	}
	return t
}

func (t *tally) add(o *tally) {
	t.Add(&o.Counter)
	t.cost, t.priced, t.charged = t.cost.Add(o.cost), t.priced+o.priced, t.charged || o.charged
	t.longs = longUse{t.longs.input + o.longs.input, t.longs.output + o.longs.output, t.longs.requests + o.longs.requests}
}

// since is from when on the layout has buckets of each resolution; and of those
// that holdings have, which late records may have begun anew.
func (k keeping) since(in ...*holding) map[legacy.Resolution]time.Time {
	from := make(map[legacy.Resolution]time.Time, len(finest))
	for _, res := range finest {
		from[res], _ = k.around(res, k.now.Add(-kept[res]))
	}
	for _, h := range in {
		for c := range h.cells {
			if start, err := legacy.Start(c.res, c.name, k.zone); err == nil && start.Before(from[c.res]) {
				from[c.res] = start
			}
		}
	}
	for _, res := range finest[:2] { // what is read at all begins with the months
		if from[res].Before(from[legacy.Month]) {
			from[legacy.Month], _ = k.around(legacy.Month, from[res])
		}
	}
	return from
}

// holdings reads owners in PostgreSQL, fewer at a time where they have much.
func (m mover) holdings(ctx context.Context, p *strategy.Postgres, keep keeping, from map[legacy.Resolution]time.Time, scope Scope, ids []uuid.UUID) ([]*holding, error) {
	var spans []db.UsageMoveSpansRow
	var totals []db.UsageMoveTotalsRow
	_, offset := keep.now.In(keep.zone).Zone()
	err := p.Read(ctx, func(ctx context.Context, c db.DBTX) (err error) {
		spans, err = m.queries.UsageMoveSpans(ctx, c, db.UsageMoveSpansParams{
			Scope: string(scope), Ids: ids, OffsetHours: int32(offset / 3600), //nolint:gosec // a zone's
			HoursFrom: from[legacy.Hour], DaysFrom: from[legacy.Day], MonthsFrom: from[legacy.Month], RowLimit: movedRows,
		})
		if err == nil {
			totals, err = m.queries.UsageMoveTotals(ctx, c, db.UsageMoveTotalsParams{Scope: string(scope), Ids: ids, RowLimit: movedRows})
		}
		return err
	})
	switch {
	case err != nil:
		return nil, err
	case len(spans) < movedRows && len(totals) < movedRows:
		return gather(keep, scope, spans, totals), nil
	case len(ids) == 1:
		return nil, result.New(result.LimitExceeded, "a key or an account has usage of more models than a move takes").With("id", ids[0].String())
	}
	half := len(ids) / 2
	first, err := m.holdings(ctx, p, keep, from, scope, ids[:half])
	if err != nil {
		return nil, err
	}
	second, err := m.holdings(ctx, p, keep, from, scope, ids[half:])
	return append(first, second...), err
}

func gather(keep keeping, scope Scope, spans []db.UsageMoveSpansRow, totals []db.UsageMoveTotalsRow) (all []*holding) {
	byID := make(map[uuid.UUID]*holding)
	of := func(id uuid.UUID) *holding {
		if byID[id] == nil {
			byID[id] = newHolding(scope, id)
			all = append(all, byID[id])
		}
		return byID[id]
	}
	for _, s := range spans {
		t := talliedOf(db.UsageMoveTotalsRow{
			Requests: s.Requests, InputTokens: s.InputTokens, OutputTokens: s.OutputTokens, CacheCreationTokens: s.CacheCreationTokens,
			CacheReadTokens: s.CacheReadTokens, TotalTokens: s.TotalTokens, Cost: s.Cost, Priced: s.Priced,
		})
		res := legacy.Resolution(s.Resolution)
		name := legacy.Bucket(res, s.StartsAt, keep.zone)
		of(s.ID).at(res, name, countedModel(s.Model)).add(t)
		of(s.ID).at(res, name, "").add(t)
	}
	for _, s := range totals {
		model := s.Model
		if model != "" {
			model = countedModel(model)
		}
		of(s.ID).at(legacy.Total, "", model).add(talliedOf(s))
	}
	return all
}

func talliedOf(s db.UsageMoveTotalsRow) *tally {
	return &tally{
		Counter: legacy.Counter{
			Requests: s.Requests, Input: s.InputTokens, Output: s.OutputTokens,
			CacheCreation: s.CacheCreationTokens, CacheRead: s.CacheReadTokens, Total: s.TotalTokens,
		},
		cost: s.Cost.Decimal, priced: s.Priced, charged: true,
	}
}
