package usage

import (
	"context"
	"errors"
	"strings"

	"github.com/redis/rueidis"

	"github.com/seed14a526e0/relaystore/internal/legacy"
)

// scanCount is how many keys one step of a SCAN looks at.
const scanCount = 1000

// bucket is a span's without its place in a calendar.
type bucket struct {
	res  legacy.Resolution
	name string
}

// members finds the counters of a kind in the reader's spans, of one owner or of all. It
// goes by the layout's index sets; where there is none, of months and of what versions
// before 2026 have written, through the names of all keys. It stops beyond maxCells.
func (r *redisReader) members(ctx context.Context, kind legacy.Kind, owner string) ([]counter, error) {
	scanned, err := r.unindexed(ctx, kind, owner)
	if err != nil {
		return nil, err
	}
	var indexed []span
	for _, s := range r.spans {
		if _, is := scanned[bucket{s.res, s.bucket}]; !is {
			indexed = append(indexed, s)
		}
	}
	family := indexOf(kind, owner)
	sets, err := each(ctx, r, indexed, func(s span) rueidis.Completed {
		return r.client.B().Smembers().Key(indexKey(family, s.res, s.bucket)).Build()
	}, (*rueidis.RedisMessage).AsStrSlice)
	if err != nil {
		return nil, err
	}
	var counters []counter
	for i, s := range indexed {
		for _, name := range sets[i] {
			c := counter{span: s, owner: owner, model: name}
			if family != modelIndex {
				c.owner, c.model, _ = strings.Cut(name, ":")
			}
			counters = append(counters, c)
		}
		if len(counters) > maxCells {
			return counters, nil
		}
	}
	return r.scan(ctx, counters, kind, owner, scanned)
}

// modelIndex is of everybody's models, among which one owner's are.
const modelIndex = "usage:model:"

func indexOf(kind legacy.Kind, owner string) string {
	switch {
	case owner != "" || kind == legacy.ModelUsage:
		return modelIndex
	case kind == legacy.AccountModelUsage:
		return "account_usage:model:"
	default:
		return "usage:keymodel:"
	}
}

// unindexed gives the spans that have usage and no index sets. An hour without one has
// no usage if its day has one.
func (r *redisReader) unindexed(ctx context.Context, kind legacy.Kind, owner string) (map[bucket]span, error) {
	scanned := make(map[bucket]span)
	whole := indexOf(kind, owner) == modelIndex
	var asked []span
	for _, s := range r.spans {
		if s.res == legacy.Month && !whole {
			scanned[bucket{s.res, s.bucket}] = s
			continue
		}
		asked = append(asked, s)
	}
	used, err := r.exist(ctx, asked, func(b bucket) string {
		return legacy.Name{Kind: legacy.GlobalUsage, Resolution: b.res, Bucket: b.name}.Key()
	})
	if err != nil {
		return nil, err
	}
	indexed, err := r.exist(ctx, asked, func(b bucket) string { return indexKey(modelIndex, b.res, b.name) })
	for i, s := range asked {
		if err == nil && used[i] && !indexed[i] {
			scanned[bucket{s.res, s.bucket}] = s
		}
	}
	return scanned, err
}

// exist asks for keys of the days and months of spans.
func (r *redisReader) exist(ctx context.Context, asked []span, key func(bucket) string) ([]bool, error) {
	return each(ctx, r, asked, func(s span) rueidis.Completed {
		b := bucket{s.res, s.bucket}
		if s.res == legacy.Hour {
			b = bucket{legacy.Day, s.bucket[:len("2006-01-02")]}
		}
		return r.client.B().Exists().Key(key(b)).Build()
	}, (*rueidis.RedisMessage).AsBool)
}

// scan adds counters by their names, each once.
func (r *redisReader) scan(ctx context.Context, counters []counter, kind legacy.Kind, owner string, in map[bucket]span) ([]counter, error) {
	if len(in) == 0 {
		return counters, nil
	}
	seen := make(map[counter]bool)
	err := r.names(ctx, pattern(kind, owner), func(keys []string) error {
		for _, key := range keys {
			n := legacy.ParseName(key)
			s, wanted := in[bucket{n.Resolution, n.Bucket}]
			c := counter{span: s, owner: n.ID, model: n.Model}
			if !wanted || n.Kind != kind || owner != "" && n.ID != owner || seen[c] {
				continue
			}
			seen[c] = true
			counters = append(counters, c)
		}
		if len(counters) > maxCells {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return counters, err
}

var errEnough = errors.New("more than an answer holds")

// names gives the names of all keys that match, some of them twice, in steps.
func (r *redisReader) names(ctx context.Context, match string, step func([]string) error) error {
	for cursor := uint64(0); ; {
		found, err := r.client.Do(ctx, r.client.B().Scan().Cursor(cursor).Match(match).Count(scanCount).Build()).AsScanEntry()
		if err != nil {
			return err
		}
		if err := step(found.Elements); err != nil {
			return err
		}
		if cursor = found.Cursor; cursor == 0 {
			return nil
		}
	}
}

func pattern(kind legacy.Kind, owner string) string {
	switch kind {
	case legacy.AccountModelUsage:
		return "account_usage:model:*"
	case legacy.ModelUsage:
		return "usage:model:*"
	}
	if owner == "" {
		owner = "*"
	}
	return "usage:" + owner + ":model:*"
}
