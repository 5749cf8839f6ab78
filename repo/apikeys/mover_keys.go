package apikeys

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/redis/rueidis"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/internal/legacy"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

// maxMoved bounds the keys that a Redis primary is moved with: their ids are in memory,
// 16 bytes each.
const maxMoved = 5_000_000

// movedKeys are the keys of a move's Redis.
type movedKeys struct {
	*Repo

	store *strategy.Redis
}

// ids gives all ids in their order, by the names of the keys.
func (s *movedKeys) ids(ctx context.Context) (ids []uuid.UUID, err error) {
	for cursor := uint64(0); ; {
		var part rueidis.ScanEntry
		err := s.store.Read(ctx, func(ctx context.Context, c rueidis.Client) (err error) {
			part, err = c.Do(ctx, c.B().Scan().Cursor(cursor).Match("apikey:*").Count(1000).Build()).AsScanEntry()
			return err
		})
		if err != nil {
			return nil, err
		}
		for _, key := range part.Elements {
			if id, ok := ownID(strings.TrimPrefix(key, "apikey:")); ok {
				ids = append(ids, id)
			}
		}
		if len(ids) > maxMoved {
			return nil, result.New(result.LimitExceeded, "no more than %d API keys are moved", maxMoved)
		}
		if cursor = part.Cursor; cursor == 0 {
			break
		}
	}
	slices.SortFunc(ids, func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) })
	return slices.Compact(ids), nil // a scan repeats
}

// page reads keys whole, in the order of ids.
func (s *movedKeys) page(ctx context.Context, ids []uuid.UUID) (page []copied, err error) {
	err = s.store.Read(ctx, func(ctx context.Context, c rueidis.Client) error {
		page = make([]copied, len(ids))
		cmds := make(rueidis.Commands, len(ids))
		for i, id := range ids {
			cmds[i] = c.B().Hgetall().Key(redisKey(id)).Build()
		}
		for i, reply := range c.DoMulti(ctx, cmds...) {
			fields, err := reply.AsStrMap()
			if unlessForeign(err) != nil {
				return err
			}
			page[i] = copied{id: ids[i], fields: fields}
			if page[i].key, _ = legacy.ParseKey(ids[i].String(), fields); len(fields) == 0 {
				page[i].fields = nil
			}
		}
		return nil
	})
	return page, err
}

// replace makes keys what rows are.
func (s *movedKeys) replace(ctx context.Context, rows []db.APIKeyCopyListRow) error {
	ids := make([]uuid.UUID, len(rows))
	for i, row := range rows {
		ids[i] = row.APIKey.ID
	}
	page, err := s.page(ctx, ids)
	if err != nil {
		return err
	}
	return s.commitAll(ctx, page, func(i int) (legacy.Key, error) { return legacyOf(&rows[i]) })
}

// commitAll makes keys what is gives for each, in one round trip.
func (s *movedKeys) commitAll(ctx context.Context, page []copied, is func(i int) (legacy.Key, error)) error {
	calls := make([]strategy.Call, len(page))
	for i := range page {
		c := &page[i]
		key, err := is(i)
		if err != nil {
			return refused(c.id, err)
		}
		was := &c.key
		if c.fields == nil {
			was = &legacy.Key{Name: key.Name}
		}
		calls[i] = commitCall(c.id, c.fields, was, &key)
	}
	for i, reply := range s.store.WriteAll(ctx, strategy.APIKey, commitScript, calls) {
		if reply.Err != nil {
			return reply.Err
		}
		switch outcome, err := reply.ToString(); {
		case err != nil:
			return err
		case outcome == changed:
			return refused(page[i].id, result.New(result.TransactionConflict, "somebody has changed the key meanwhile: run the move again"))
		case outcome != committed:
			return refused(page[i].id, taken(outcome))
		}
	}
	return nil
}

func hashesOf(native, legacyHash []byte) [2]string {
	return [2]string{hex.EncodeToString(native), hex.EncodeToString(legacyHash)}
}

// legacyOf gives what the layout has of a row.
func legacyOf(row *db.APIKeyCopyListRow) (l legacy.Key, err error) {
	k, err := fromRow(row.APIKey, row.LastUsedAt)
	if err != nil {
		return l, err
	}
	hashes := hashesOf(row.APIKey.HashedKey, row.APIKey.LegacyHash)
	l = legacy.Key{
		ID: k.ID, NativeHash: hashes[0], LegacyHash: hashes[1], CreatedAt: k.CreatedAt, LastUsedAt: k.LastUsedAt.Truncate(time.Millisecond),
		IsActive: k.IsActive, IsActivated: !k.ActivatedAt.IsZero(), ActivatedAt: k.ActivatedAt.Truncate(time.Millisecond), WeeklyResetDay: 1,
	}
	k.into(&l)
	if !k.UpdatedAt.Equal(k.CreatedAt) {
		l.UpdatedAt = k.UpdatedAt.Truncate(time.Millisecond)
	}
	if err := l.SetExtra(k.Extra); err != nil {
		return l, result.Invalid("extra", "not a JSON object")
	}
	if at := row.APIKey.DeletedAt; at != nil {
		markDeleted(&l, *at)
	}
	return l, nil
}

// imported gives what PostgreSQL has of a key in the layout.
func imported(l *legacy.Key) Imported {
	k := Imported{APIKey: fromLegacy(l), NativeHash: l.NativeHash, LegacyHash: l.LegacyHash}
	if l.IsDeleted {
		k.IsActive = false
		if k.DeletedAt = l.DeletedAt; k.DeletedAt.IsZero() {
			k.DeletedAt = k.UpdatedAt
		}
	}
	return k
}

// same tells whether a row and a key say the same, to the millisecond: deleted ones do.
func same(row *db.APIKeyCopyListRow, c *copied) bool {
	if deleted := row.APIKey.DeletedAt != nil; deleted || !c.live() {
		return deleted && !c.live()
	}
	k, err := fromRow(row.APIKey, row.LastUsedAt)
	if err != nil {
		return false
	}
	hashes := hashesOf(row.APIKey.HashedKey, row.APIKey.LegacyHash)
	return reflect.DeepEqual(
		shownOf(Imported{APIKey: k, NativeHash: hashes[0], LegacyHash: hashes[1]}),
		shownOf(imported(&c.key)),
	)
}

// shown is a key without what may differ in its writing.
type shown struct {
	row          string
	used         time.Time
	extra, rules any
}

func shownOf(k Imported) (s shown) {
	for _, t := range []*time.Time{&k.ActivatedAt, &k.CreatedAt, &k.UpdatedAt, &k.ExpiresAt, &k.LastUsedAt} {
		*t = t.UTC().Truncate(time.Millisecond)
	}
	if k.ExpirationMode == expirationFixed && k.ActivatedAt.Equal(k.CreatedAt) {
		k.ActivatedAt = time.Time{} // the service's stamp
	}
	extra := make(map[string]any)
	if len(k.Extra) > 0 {
		_ = json.Unmarshal(k.Extra, &extra) // it is an object in either primary
	}
	_ = json.Unmarshal(k.OpenAIResponsesPayloadRules, &s.rules) // an array
	s.extra, s.used = extra, k.LastUsedAt
	k.Extra, k.OpenAIResponsesPayloadRules = nil, nil
	d := k.KeyData
	d.defaults()
	row := k.unchecked(uuid.Nil, &d, &k.NativeHash, &k.LegacyHash)
	doc, err := json.Marshal(row)
	if err != nil { // texts, times and amounts always marshal
		panic(err)
	}
	s.row = string(doc)
	return s
}
