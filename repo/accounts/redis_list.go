package accounts

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/redis/rueidis"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/internal/legacy"
	"github.com/seed14a526e0/relaystore/strategy"
)

const (
	// listedAtOnce bounds the accounts whose fields are asked for in one go.
	listedAtOnce = 500
	// scanTime bounds a scan of all keys, which callers share.
	scanTime = 5 * time.Minute
	// indexTime bounds the making of indexes, which waits while accounts are moved: a list
	// does not.
	indexTime = time.Second
	// noneFor is how many seconds the service believes that there is no account.
	noneFor = "3600"
)

// available gives what AccountAvailable in PostgreSQL would, from all accounts of a platform.
func (l *legacyAccounts) available(ctx context.Context, f *AvailableFilters, now time.Time) ([]db.AccountGetRow, error) {
	all, err := l.rows(ctx, f.Platform)
	if err != nil {
		return nil, err
	}
	rows := slices.DeleteFunc(all, func(row db.AccountGetRow) bool { return !f.takes(&row, now) })
	slices.SortFunc(rows, func(a, b db.AccountGetRow) int {
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), utc(a.LastUsedAt).Compare(utc(b.LastUsedAt)), bytes.Compare(a.ID[:], b.ID[:]))
	})
	return rows[:min(len(rows), f.Limit)], nil
}

func (f *AvailableFilters) takes(row *db.AccountGetRow, now time.Time) bool {
	passed := row.RateLimitResetAt != nil && !row.RateLimitResetAt.After(now)
	takes := row.Status == f.Status
	if f.Status == "" {
		takes = row.Schedulable && (row.Status == Active || row.Status == RateLimited && passed)
	}
	if want := f.RateLimitAvailable; want != nil {
		has := passed || row.Status != RateLimited && (row.TokensRemaining == nil || *row.TokensRemaining > 0)
		takes = takes && has == *want
	}
	return takes && (passed || row.TokensRemaining == nil || *row.TokensRemaining >= f.MinTokensRemaining)
}

// list gives a page, newest first, and how many there are on all.
func (l *legacyAccounts) list(ctx context.Context, f *ListFilters) ([]db.AccountGetRow, int, error) {
	all, err := l.rows(ctx, f.Platform)
	if err != nil {
		return nil, 0, err
	}
	rows := slices.DeleteFunc(all, func(row db.AccountGetRow) bool { return f.Status != "" && row.Status != f.Status })
	slices.SortFunc(rows, func(a, b db.AccountGetRow) int {
		return -cmp.Or(a.CreatedAt.Compare(b.CreatedAt), bytes.Compare(a.ID[:], b.ID[:]))
	})
	from := min(f.Offset, len(rows))
	return rows[from:min(from+f.Limit, len(rows))], len(rows), nil
}

func (l *legacyAccounts) rows(ctx context.Context, platform string) ([]db.AccountGetRow, error) {
	all, err := l.all(ctx, platform)
	if err != nil {
		return nil, err
	}
	rows := make([]db.AccountGetRow, len(all))
	for i, f := range all {
		rows[i] = f.row()
	}
	return rows, nil
}

// all reads the accounts of a platform, "" is of each. One that is damaged is left out.
func (l *legacyAccounts) all(ctx context.Context, platform string) ([]*found, error) {
	ctx, cancel := l.Primary.Bounded(ctx)
	defer cancel()
	var all []*found
	places, ids, err := l.indexed(ctx, platform)
	if err != nil {
		return nil, err
	}
	for i, p := range places {
		for part := range slices.Chunk(ids[i], listedAtOnce) {
			some, err := l.several(ctx, p, part)
			if err != nil {
				return nil, err
			}
			all = append(all, some...)
		}
	}
	return all, nil
}

// several reads accounts of one place, without those that are damaged.
func (l *legacyAccounts) several(ctx context.Context, p legacy.AccountPlace, ids []uuid.UUID) (some []*found, err error) {
	err = l.redis.Read(ctx, func(ctx context.Context, c rueidis.Client) error {
		some = nil
		asked := make(rueidis.Commands, len(ids))
		for i, id := range ids {
			if asked[i] = c.B().Hgetall().Key(p.Key(id.String())).Build(); p.Platform == legacy.Bedrock {
				asked[i] = c.B().Get().Key(p.Key(id.String())).Build()
			}
		}
		for i, reply := range c.DoMulti(ctx, asked...) {
			content, err := reply.ToMessage()
			switch {
			case strategy.WrongType(err), rueidis.IsRedisNil(err): // no account, or gone
				continue
			case err != nil:
				return err
			}
			if at, err := newFound(p, ids[i], content); err == nil && len(at.fields) > 0 {
				some = append(some, at)
			}
		}
		return nil
	})
	return some, err
}

// indexed gives the ids at each place of a platform, from the service's index or, where
// it has none yet, from a scan.
func (l *legacyAccounts) indexed(ctx context.Context, platform string) (places []legacy.AccountPlace, ids [][]uuid.UUID, err error) {
	for _, p := range legacy.AccountPlaces {
		if platform == "" || p.Platform == platform {
			places = append(places, p)
		}
	}
	var unknown bool
	if ids, unknown, err = l.members(ctx, places); err != nil || !unknown {
		return places, ids, err
	}
	scanned := l.legacy.scans.DoChan("", func() (any, error) {
		scanning, cancel := context.WithTimeout(context.WithoutCancel(ctx), scanTime)
		defer cancel()
		return l.scan(scanning)
	})
	select {
	case s := <-scanned:
		all, _ := s.Val.(map[legacy.AccountPlace][]uuid.UUID)
		for i, p := range places {
			if len(ids[i]) == 0 {
				ids[i] = all[p]
			}
		}
		return places, ids, s.Err
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
}

// members reads the indexes; unknown tells that one has no member, and that nobody has
// looked why.
func (l *legacyAccounts) members(ctx context.Context, places []legacy.AccountPlace) (ids [][]uuid.UUID, unknown bool, err error) {
	err = l.redis.Read(ctx, func(ctx context.Context, c rueidis.Client) error {
		ids, unknown = make([][]uuid.UUID, len(places)), false
		asked := make(rueidis.Commands, 0, 2*len(places))
		for _, p := range places {
			asked = append(asked, c.B().Smembers().Key(p.Index()).Build(), c.B().Exists().Key(p.NoneKey()).Build())
		}
		replies := c.DoMulti(ctx, asked...)
		for i := range places {
			texts, err := replies[2*i].AsStrSlice()
			if err != nil {
				return err
			}
			none, err := replies[2*i+1].AsInt64()
			if err != nil {
				return err
			}
			for _, text := range texts {
				if id, err := uuid.Parse(text); err == nil && id.String() == text {
					ids[i] = append(ids[i], id)
				}
			}
			unknown = unknown || len(texts) == 0 && none == 0
		}
		return nil
	})
	return ids, unknown, err
}

// scan makes the indexes that are missing, as the service does: for the next hour it is
// known that there are no others. The places of old versions get no new accounts: they
// are looked through once.
func (l *legacyAccounts) scan(ctx context.Context) (map[legacy.AccountPlace][]uuid.UUID, error) {
	all, err := l.named(ctx)
	if err != nil {
		return nil, err
	}
	indexed, _, err := l.members(ctx, legacy.AccountPlaces)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, indexTime)
	defer cancel()
	for i, p := range legacy.AccountPlaces {
		if len(indexed[i]) == 0 {
			l.index(ctx, p, all[p])
		}
	}
	return all, nil
}

// named looks at the names of all keys, once.
func (l *legacyAccounts) named(ctx context.Context) (map[legacy.AccountPlace][]uuid.UUID, error) {
	all := make(map[legacy.AccountPlace][]uuid.UUID)
	for cursor := uint64(0); ; {
		var page rueidis.ScanEntry
		err := l.redis.Read(ctx, func(ctx context.Context, c rueidis.Client) (err error) {
			page, err = c.Do(ctx, c.B().Scan().Cursor(cursor).Match("*account:*").Count(10_000).Build()).AsScanEntry()
			return err
		})
		if err != nil {
			return nil, err
		}
		for _, key := range page.Elements {
			if p, id, is := accountAt(key); is {
				all[p] = append(all[p], id)
			}
		}
		if cursor = page.Cursor; cursor == 0 {
			break
		}
	}
	for p := range all {
		slices.SortFunc(all[p], func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) })
		all[p] = slices.Compact(all[p]) // a scan repeats
	}
	return all, nil
}

func accountAt(key string) (legacy.AccountPlace, uuid.UUID, bool) {
	for _, p := range legacy.AccountPlaces {
		text, ok := p.ID(key)
		if id, err := uuid.Parse(text); ok && err == nil && id.String() == text {
			return p, id, true
		}
	}
	return legacy.AccountPlace{}, uuid.UUID{}, false
}

// index notes what a scan has found. Where it cannot, the next call scans again.
func (l *legacyAccounts) index(ctx context.Context, p legacy.AccountPlace, ids []uuid.UUID) {
	known := noneFor
	if newest, _ := legacy.PlaceOf(p.Platform); newest != p {
		known = "0"
	}
	args := []string{known}
	for i, id := range ids {
		args = append(args, id.String())
		if len(args) > listedAtOnce && i < len(ids)-1 {
			_, _ = l.redis.Write(ctx, strategy.Account, indexScript, []string{p.Index(), p.NoneKey()}, args)
			args = []string{known}
		}
	}
	_, _ = l.redis.Write(ctx, strategy.Account, indexScript, []string{p.Index(), p.NoneKey()}, args)
}
