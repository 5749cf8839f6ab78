package apikeys

import (
	"bytes"
	"context"
	"errors"
	"slices"

	"github.com/google/uuid"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/internal/legacy"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

// moved is how many keys are copied at once.
const moved = 100

// mover copies the keys from one primary to the other, deleted ones as well. A key that
// the target cannot hold is an error with details.keyId. A deleted key is as good as one
// that is not there: what only the target has is deleted there, softly, and a deleted key
// that the target cannot hold, or whose hash another one has by now, is left out. Redis
// keeps whole milliseconds, but of createdAt.
type mover struct{ *Repo }

var _ strategy.Mover = mover{}

// Mover copies keys when their primary is switched.
func (r *Repo) Mover() strategy.Mover { return mover{r} }

// copied is a key on its way, as Redis has it.
type copied struct {
	id     uuid.UUID
	fields map[string]string // none where Redis has no such key
	key    legacy.Key
}

func (c *copied) live() bool { return len(c.fields) > 0 && !c.key.IsDeleted }

// refused names the key in a failure.
func refused(id uuid.UUID, err error) error { return result.From(err).With("keyId", id.String()) }

// in gives the repo of the move's Redis.
func (m mover) in(redis *strategy.Redis) *movedKeys { return &movedKeys{m.Repo, redis} }

// ToRedis first deletes there what would be in the way: keys that are none, or that have
// other hashes.
func (m mover) ToRedis(ctx context.Context, move strategy.Move) error {
	s := m.in(move.Redis)
	ids, err := s.ids(ctx)
	if err != nil {
		return err
	}
	for page := range slices.Chunk(ids, moved) {
		if err := m.clear(ctx, move, s, page); err != nil {
			return err
		}
	}
	total, err := m.count(ctx, move.Postgres)
	if err != nil {
		return err
	}
	var done int64
	return m.rows(ctx, move.Postgres, func(rows []db.APIKeyCopyListRow) error {
		err := s.replace(ctx, rows)
		done += int64(len(rows))
		move.Progress(done, total)
		return err
	})
}

func (m mover) clear(ctx context.Context, move strategy.Move, s *movedKeys, ids []uuid.UUID) error {
	page, err := s.page(ctx, ids)
	if err != nil {
		return err
	}
	hashes := make(map[uuid.UUID][2]string)
	err = move.Postgres.Read(ctx, func(ctx context.Context, c db.DBTX) error {
		rows, err := m.queries.APIKeyImported(ctx, c, ids)
		for _, row := range rows {
			hashes[row.ID] = hashesOf(row.HashedKey, row.LegacyHash)
		}
		return err
	})
	if err != nil {
		return err
	}
	stale := slices.DeleteFunc(page, func(c copied) bool {
		return !c.live() || hashes[c.id] == [2]string{c.key.NativeHash, c.key.LegacyHash}
	})
	for _, c := range stale {
		if _, known := hashes[c.id]; move.First && !known {
			return strategy.ErrForeign.With("keyId", c.id.String())
		}
	}
	return s.commitAll(ctx, stale, func(i int) (legacy.Key, error) {
		is := stale[i].key
		markDeleted(&is, m.now())
		return is, nil
	})
}

func (m mover) count(ctx context.Context, p *strategy.Postgres) (n int64, err error) {
	err = p.Read(ctx, func(ctx context.Context, c db.DBTX) (err error) {
		n, err = m.queries.APIKeyCopyCount(ctx, c)
		return err
	})
	return n, err
}

// rows gives the keys of PostgreSQL page by page.
func (m mover) rows(ctx context.Context, p *strategy.Postgres, take func([]db.APIKeyCopyListRow) error) error {
	for after := uuid.Nil; ; {
		var rows []db.APIKeyCopyListRow
		err := p.Read(ctx, func(ctx context.Context, c db.DBTX) (err error) {
			rows, err = m.queries.APIKeyCopyList(ctx, c, db.APIKeyCopyListParams{After: after, RowLimit: moved})
			return err
		})
		if err != nil || len(rows) == 0 {
			return err
		}
		if err := take(rows); err != nil {
			return err
		}
		after = rows[len(rows)-1].APIKey.ID
	}
}

// ToPostgres copies the deleted keys last, so that they take no hash away.
func (m mover) ToPostgres(ctx context.Context, move strategy.Move) error {
	s := m.in(move.Redis)
	ids, err := s.ids(ctx)
	if err != nil {
		return err
	}
	to := intake{&Repo{Config: m.Config, queries: m.queries, records: m.records, now: m.now}, true}
	to.Primary = move.Postgres
	total, done := int64(len(ids)), 0
	after := uuid.Nil
	var deleted []uuid.UUID
	for page := range slices.Chunk(ids, moved) {
		keys, err := s.page(ctx, page)
		if err != nil {
			return err
		}
		live := slices.DeleteFunc(keys, func(c copied) bool {
			if len(c.fields) > 0 && c.key.IsDeleted {
				deleted = append(deleted, c.id)
			}
			return !c.live()
		})
		upto := page[len(page)-1]
		if err := to.gaps(ctx, after, upto, live); err != nil {
			return err
		}
		if err := to.take(ctx, live); err != nil {
			return err
		}
		after, done = upto, done+len(live)
		move.Progress(int64(done), total)
	}
	if err := to.gaps(ctx, after, uuid.Max, nil); err != nil {
		return err
	}
	for page := range slices.Chunk(deleted, moved) {
		keys, err := s.page(ctx, page)
		if err != nil {
			return err
		}
		if err := to.take(ctx, keys); err != nil {
			return err
		}
		done += len(page)
		move.Progress(int64(done), total)
	}
	return nil
}

// gaps deletes the keys between two ids that are not live.
func (r intake) gaps(ctx context.Context, after, upto uuid.UUID, live []copied) error {
	p := db.APIKeyCopyGapsParams{After: after, Upto: upto, Now: r.now(), Ids: make([]uuid.UUID, len(live))}
	for i := range live {
		p.Ids[i] = live[i].id
	}
	return r.Primary.Write(ctx, func(ctx context.Context, tx db.DBTX) error { return r.queries.APIKeyCopyGaps(ctx, tx, p) })
}

// take writes keys as they are.
func (r intake) take(ctx context.Context, keys []copied) error {
	rows, outcomes := make([]importRow, 0, len(keys)), make([]ImportOutcome, len(keys))
	for i := range keys {
		k := imported(&keys[i].key)
		row, err := k.row()
		if err != nil && !keys[i].key.IsDeleted {
			return refused(keys[i].id, err)
		}
		if row.at = i; err == nil {
			rows = append(rows, row)
		}
	}
	if err := r.importRows(ctx, rows, outcomes); err != nil {
		return err
	}
	for i, o := range outcomes {
		left := keys[i].key.IsDeleted && errors.Is(o.Err, result.DuplicateKey)
		if o.Err != nil && !left {
			return refused(keys[i].id, o.Err)
		}
	}
	return nil
}

// Compare reads both, key by key.
func (m mover) Compare(ctx context.Context, move strategy.Move) (differ int64, err error) {
	s := m.in(move.Redis)
	only, err := s.ids(ctx)
	if err != nil {
		return 0, err
	}
	err = m.rows(ctx, move.Postgres, func(rows []db.APIKeyCopyListRow) error {
		ids := make([]uuid.UUID, len(rows))
		for i, row := range rows {
			ids[i] = row.APIKey.ID
		}
		only = slices.DeleteFunc(only, func(id uuid.UUID) bool {
			_, is := slices.BinarySearchFunc(ids, id, func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) })
			return is
		})
		page, err := s.page(ctx, ids)
		for i := range page {
			if !same(&rows[i], &page[i]) {
				differ++
			}
		}
		return err
	})
	for ids := range slices.Chunk(only, moved) {
		if err != nil {
			break
		}
		var page []copied
		page, err = s.page(ctx, ids)
		for i := range page {
			if page[i].live() {
				differ++
			}
		}
	}
	return differ, err
}
