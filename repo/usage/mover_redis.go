package usage

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/redis/rueidis"

	"github.com/seed14a526e0/relaystore/internal/legacy"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

// scanNames gives the names of all keys of a pattern, some of them twice. Each step has
// the patience of one call: all of them together may take minutes.
func scanNames(ctx context.Context, redis *strategy.Redis, match string, f func([]string) error) error {
	for cursor := uint64(0); ; {
		var page rueidis.ScanEntry
		err := redis.Read(ctx, func(ctx context.Context, c rueidis.Client) (err error) {
			page, err = c.Do(ctx, c.B().Scan().Cursor(cursor).Match(match).Count(scanCount).Build()).AsScanEntry()
			return err
		})
		if err != nil {
			return err
		}
		for part := range slices.Chunk(page.Elements, redisReads) {
			if err := f(part); err != nil {
				return err
			}
		}
		if cursor = page.Cursor; cursor == 0 {
			return nil
		}
	}
}

// ownerOf gives whose counter a key is, where that is one that a move carries.
func ownerOf(key string) (n legacy.Name, scope Scope, id uuid.UUID, is bool) {
	if rest, own := strings.CutPrefix(key, accountCostPrefix); own {
		n, scope = accountCostName(rest), ScopeAccount
	} else {
		switch n = legacy.ParseName(key); n.Kind {
		case legacy.KeyUsage, legacy.KeyModelUsage, legacy.KeyCost, legacy.KeyRealCost:
			scope = ScopeKey
		case legacy.AccountUsage, legacy.AccountModelUsage:
			scope = ScopeAccount
		default:
			return n, "", uuid.Nil, false
		}
	}
	id, err := uuid.Parse(n.ID)
	return n, scope, id, err == nil && id.String() == n.ID
}

// accountCostName reads TIER:ACCOUNT:BUCKET; its kind is none of the layout's.
func accountCostName(rest string) (n legacy.Name) {
	tier, rest, _ := strings.Cut(rest, ":")
	n.ID, n.Bucket, _ = strings.Cut(rest, ":")
	for res, word := range tierWords {
		if word == tier {
			n.Resolution = res
		}
	}
	return n
}

// foreign refuses a Redis that has counted more of a key than PostgreSQL has: it was never
// imported, or has counted since. It gives the ids of which neither has a key: what the
// service has left of those that were deleted is nobody's double.
func (m mover) foreign(ctx context.Context, move strategy.Move) (orphans map[uuid.UUID]bool, err error) {
	orphans = make(map[uuid.UUID]bool)
	err = scanNames(ctx, move.Redis, "usage:????????-????-????-????-????????????", func(names []string) error {
		found := make(map[uuid.UUID]*holding, len(names))
		if err := readInto(ctx, move.Redis, names, found, func(uuid.UUID) bool { return true }); err != nil || len(found) == 0 {
			return err
		}
		ids := make([]uuid.UUID, 0, len(found))
		for id := range found {
			ids = append(ids, id)
		}
		known, err := m.knownIn(ctx, move, ids)
		if err != nil {
			return err
		}
		for part := range slices.Chunk(ids, movedOwners) {
			keep := m.keeping(move)
			here, err := m.holdings(ctx, move.Postgres, keep, keep.since(), ScopeKey, part)
			if err != nil {
				return err
			}
			counts := make(map[uuid.UUID]int64, len(here))
			for _, h := range here {
				counts[h.id] = h.at(legacy.Total, "", "").Requests
			}
			for _, id := range part {
				switch {
				case counts[id] == 0 && !known[id]:
					orphans[id] = true
				case found[id].at(legacy.Total, "", "").Requests > counts[id]:
					return m.moreCounted(ctx, move, id)
				}
			}
		}
		return nil
	})
	return orphans, err
}

// moreCounted says what helps. A Redis that a move has copied to is not imported from: what
// was counted here would come again.
func (m mover) moreCounted(ctx context.Context, move strategy.Move, id uuid.UUID) error {
	copied := !move.First
	err := move.Redis.Read(ctx, func(ctx context.Context, c rueidis.Client) error {
		n, err := c.Do(ctx, c.B().Exists().Key(CopiedKey).Build()).AsInt64()
		copied = copied || n > 0
		return err
	})
	if err != nil {
		return err
	}
	says := "Redis has counted more of some key than PostgreSQL has: import it first (relaystore import)"
	if copied {
		says = "Redis has counted more of some key than PostgreSQL has since usage was copied there: stop the service that counts there. " +
			"What it counted cannot be imported any more; to move without that, delete " + legacy.Name{Kind: legacy.KeyUsage, ID: id.String(), Resolution: legacy.Total}.Key()
	}
	return result.Invalid("primaryStorage", "%s", says).With("apiKeyId", id.String())
}

// knownIn tells which keys Redis has records of.
func (m mover) knownIn(ctx context.Context, move strategy.Move, ids []uuid.UUID) (map[uuid.UUID]bool, error) {
	known := make(map[uuid.UUID]bool, len(ids))
	err := move.Redis.Read(ctx, func(ctx context.Context, c rueidis.Client) error {
		r := &redisReader{client: c}
		there, err := each(ctx, r, ids, func(id uuid.UUID) rueidis.Completed {
			return c.B().Exists().Key(legacy.Name{Kind: legacy.APIKey, ID: id.String()}.Key()).Build()
		}, (*rueidis.RedisMessage).AsBool)
		for i, is := range there {
			known[ids[i]] = is
		}
		return err
	})
	return known, err
}

// dropScript forgets keys.
var dropScript = strategy.NewScript(`return redis.call('UNLINK', unpack(ARGV))`)

// movedPatterns are how the keys begin that a move replaces.
var movedPatterns = []string{"usage:*", "account_usage:*", accountCostPrefix + "*"}

// empty removes the counters that a move writes anew, and their index sets. It leaves
// what is no counter of a UUID.
func (w *layoutWriter) empty(ctx context.Context, orphans map[uuid.UUID]bool) error {
	for _, match := range movedPatterns {
		err := scanNames(ctx, w.redis, match, func(names []string) error {
			old := slices.DeleteFunc(names, func(key string) bool {
				n, _, id, is := ownerOf(key)
				everybodys := n.Kind == legacy.GlobalUsage || n.Kind == legacy.ModelUsage || n.Kind == legacy.Derived ||
					strings.HasPrefix(key, accountCostPrefix)
				return !everybodys && (!is || orphans[id])
			})
			if len(old) == 0 {
				return nil
			}
			_, err := w.redis.Write(ctx, strategy.Usage, dropScript, nil, old)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// namesAtATime bounds what a part of the owners in Redis has: about 100 MB.
const namesAtATime = 200_000

// parts cuts the owners that Redis has into parts of bounded size, by their ids.
func parts(ctx context.Context, redis *strategy.Redis) (n int, err error) {
	names := 0
	for _, match := range movedPatterns {
		err = scanNames(ctx, redis, match, func(page []string) error {
			names += len(page)
			return nil
		})
		if err != nil {
			return 0, err
		}
	}
	return min(1+names/namesAtATime, 256), nil
}

func isPart(id uuid.UUID, part, of int) bool { return int(id[15])%of == part }

// counters reads what Redis has of a part of the owners.
func (m mover) counters(ctx context.Context, redis *strategy.Redis, scope Scope, part, of int) (map[uuid.UUID]*holding, error) {
	found := make(map[uuid.UUID]*holding)
	patterns := movedPatterns[:1]
	if scope == ScopeAccount {
		patterns = movedPatterns[1:]
	}
	for _, match := range patterns {
		err := scanNames(ctx, redis, match, func(names []string) error {
			return readInto(ctx, redis, names, found, func(id uuid.UUID) bool { return isPart(id, part, of) })
		})
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

// everybodyIn reads the counters of all keys as one.
func everybodyIn(ctx context.Context, redis *strategy.Redis) (*holding, error) {
	h := newHolding(ScopeKey, uuid.Nil)
	for _, match := range []string{"usage:global:*", "usage:model:*"} {
		err := scanNames(ctx, redis, match, func(names []string) error {
			names = slices.DeleteFunc(names, func(key string) bool {
				kind := legacy.ParseName(key).Kind
				return kind != legacy.GlobalUsage && kind != legacy.ModelUsage
			})
			return redis.Read(ctx, func(ctx context.Context, c rueidis.Client) error {
				fields, err := each(ctx, &redisReader{client: c}, names, func(key string) rueidis.Completed { return c.B().Hgetall().Key(key).Build() }, (*rueidis.RedisMessage).AsStrMap)
				for i, key := range names {
					if n := legacy.ParseName(key); err == nil && len(fields[i]) > 0 {
						h.at(n.Resolution, n.Bucket, n.Model).takeCounts(fields[i])
					}
				}
				return err
			})
		})
		if err != nil {
			return nil, err
		}
	}
	return h, nil
}

// ownedKey is a counter's key, and whose it is.
type ownedKey struct {
	legacy.Name

	key   string
	scope Scope
	id    uuid.UUID
}

// ownedKeys gives the counters of wanted owners: hashes, and texts, which are costs.
func ownedKeys(names []string, wanted func(uuid.UUID) bool) (hashes, texts []ownedKey) {
	for _, key := range names {
		n, scope, id, is := ownerOf(key)
		switch {
		case !is || !wanted(id) || n.Kind == legacy.KeyRealCost:
		case n.Kind == legacy.KeyCost:
			texts = append(texts, ownedKey{n, key, scope, id})
		default:
			hashes = append(hashes, ownedKey{n, key, scope, id})
		}
	}
	return hashes, texts
}

// readInto adds the counters of some names to their owners'.
func readInto(ctx context.Context, redis *strategy.Redis, names []string, found map[uuid.UUID]*holding, wanted func(uuid.UUID) bool) error {
	hashes, texts := ownedKeys(names, wanted)
	return redis.Read(ctx, func(ctx context.Context, c rueidis.Client) error {
		r := &redisReader{client: c}
		fields, err := each(ctx, r, hashes, func(k ownedKey) rueidis.Completed { return c.B().Hgetall().Key(k.key).Build() }, (*rueidis.RedisMessage).AsStrMap)
		if err != nil {
			return err
		}
		amounts, err := each(ctx, r, texts, func(k ownedKey) rueidis.Completed { return c.B().Get().Key(k.key).Build() }, (*rueidis.RedisMessage).ToString)
		if err != nil {
			return err
		}
		for i, k := range hashes {
			if len(fields[i]) > 0 { // else it has expired
				k.takeHash(found, fields[i])
			}
		}
		for i, k := range texts {
			if amount, known := legacy.ParseAmount(amounts[i]); known {
				t := k.holding(found).at(k.Resolution, k.Bucket, "")
				t.cost, t.charged = amount, true
			}
		}
		return nil
	})
}

func (k ownedKey) holding(found map[uuid.UUID]*holding) *holding {
	if found[k.id] == nil {
		found[k.id] = newHolding(k.scope, k.id)
	}
	return found[k.id]
}

func (k ownedKey) takeHash(found map[uuid.UUID]*holding, fields map[string]string) {
	if k.Kind == legacy.Foreign {
		k.holding(found).takeCosts(k.Name, fields)
		return
	}
	k.holding(found).at(k.Resolution, k.Bucket, k.Model).takeCounts(fields)
}

// takeCounts sets the figures: a SCAN may give a name twice. allTokens are what they say,
// whatever their parts are.
func (t *tally) takeCounts(fields map[string]string) {
	t.Counter, _ = legacy.ParseCounter(fields)
	for _, name := range []string{"allTokens", "totalAllTokens"} {
		if n, err := strconv.ParseInt(fields[name], 10, 64); err == nil && n >= t.Input+t.Output {
			t.Total = n
		}
	}
}

// takeCosts sets what relaystore keeps of an account's costs.
func (h *holding) takeCosts(n legacy.Name, fields map[string]string) {
	whole := h.at(n.Resolution, n.Bucket, "")
	whole.cost, whole.priced, whole.charged = sumOfCosts(fields), 0, true
	for name, text := range fields {
		if model, is := strings.CutPrefix(name, "cost:"); is {
			t := h.at(n.Resolution, n.Bucket, model)
			t.cost, _ = legacy.ParseAmount(text)
			t.charged = true
			t.priced, _ = strconv.ParseInt(fields["requests:"+model], 10, 64)
			whole.priced += t.priced
		}
	}
}
