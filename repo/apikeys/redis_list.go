package apikeys

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"github.com/seed14a526e0/relaystore/internal/legacy"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

const (
	// maxListed bounds the keys that a list looks through, at about 200 bytes each.
	maxListed = 200_000
	// scanned is how many keys one round trip asks about.
	scanned = 500
)

// listed are the fields that filters and orders look at.
var listed = []string{
	legacy.FieldName, legacy.FieldTags, legacy.FieldIsActive, legacy.FieldIsDeleted, legacy.FieldLastUsedAt,
	"createdAt", "relaystoreCreatedAt", "expiresAt", "permissions",
}

// entry is what a list remembers of a key.
type entry struct {
	id, name string
	at       time.Time // what the order goes by, where that is a time
}

// list looks through all keys, in batches: Redis can order by what the service has an
// index for, and not filter. A page's keys are as they are when they are read, its
// total as it was when each key was looked at.
func (s *onRedis) list(ctx context.Context, f Filters) (page Page, err error) {
	err = s.read(ctx, func(ctx context.Context, c rueidis.Client) error {
		found, err := matching(ctx, c, &f, s.now())
		if err != nil {
			return err
		}
		page = Page{Total: len(found), Page: f.Offset/f.Limit + 1, TotalPages: (len(found) + f.Limit - 1) / f.Limit}
		slices.SortFunc(found, f.compare)
		page.Keys, err = whole(ctx, c, found[min(f.Offset, len(found)):min(f.Offset+f.Limit, len(found))])
		return err
	})
	return page, err
}

// matching gives the keys that the filters let through.
func matching(ctx context.Context, c rueidis.Client, f *Filters, now time.Time) (found []entry, err error) {
	ids, err := candidates(ctx, c, f.Tags)
	if err != nil {
		return nil, err
	}
	for some := range slices.Chunk(ids, scanned) {
		cmds := make(rueidis.Commands, len(some))
		for i, id := range some {
			cmds[i] = c.B().Hmget().Key("apikey:" + id).Field(listed...).Build()
		}
		for i, reply := range c.DoMulti(ctx, cmds...) {
			l, err := listedKey(some[i], reply)
			if err != nil {
				return nil, err
			}
			if l != nil && f.match(l, now) {
				found = append(found, f.entry(l))
			}
		}
	}
	return found, nil
}

// listedKey gives nil for what is no key, or none any more.
func listedKey(id string, reply rueidis.RedisResult) (*legacy.Key, error) {
	m, err := reply.ToMessage()
	if err != nil {
		return nil, unlessForeign(err)
	}
	fields, err := fieldsOf(listed, m)
	if err != nil || len(fields) == 0 {
		return nil, err
	}
	l, _ := legacy.ParseKey(id, fields)
	if l.IsDeleted {
		return nil, nil
	}
	return &l, nil
}

// unlessForeign lets a key of another type pass: names alone do not tell.
func unlessForeign(err error) error {
	if strategy.WrongType(err) {
		return nil
	}
	return err
}

// candidates gives the ids of all keys, or of those that have all tags, by the
// service's indexes where it has made them; else it looks at the names in Redis. Some
// may be gone or deleted.
func candidates(ctx context.Context, c rueidis.Client, tags []string) ([]string, error) {
	indexed, err := c.Do(ctx, c.B().Exists().Key("apikey:index:version").Build()).AsBool()
	if err != nil {
		return nil, err
	}
	if !indexed {
		return scan(ctx, c)
	}
	sets := []string{"apikey:idx:all"}
	for _, tag := range tags {
		sets = append(sets, "apikey:tag:"+tag)
	}
	ids, err := c.Do(ctx, c.B().Sinter().Key(sets...).Build()).AsStrSlice()
	ids = slices.DeleteFunc(ids, func(id string) bool { _, ok := ownID(id); return !ok })
	return checkListed(ids, err)
}

func scan(ctx context.Context, c rueidis.Client) ([]string, error) {
	seen := make(map[string]bool)
	var ids []string
	for cursor := uint64(0); ; {
		part, err := c.Do(ctx, c.B().Scan().Cursor(cursor).Match("apikey:*").Count(1000).Build()).AsScanEntry()
		if err != nil {
			return nil, err
		}
		for _, key := range part.Elements {
			id, isKey := strings.CutPrefix(key, "apikey:")
			if _, ok := ownID(id); ok && isKey && !seen[id] {
				seen[id], ids = true, append(ids, id)
			}
		}
		if cursor = part.Cursor; cursor == 0 || len(ids) > maxListed {
			return checkListed(ids, nil)
		}
	}
}

func checkListed(ids []string, err error) ([]string, error) {
	if err == nil && len(ids) > maxListed {
		err = result.New(result.LimitExceeded, "a Redis primary lists no more than %d API keys", maxListed)
	}
	return ids, err
}

// match judges as PostgreSQL does.
func (f *Filters) match(l *legacy.Key, now time.Time) bool {
	active := l.IsActive && (l.ExpiresAt.IsZero() || l.ExpiresAt.After(now))
	switch {
	case f.IsActive != nil && *f.IsActive != active:
		return false
	case f.Permissions != "" && len(l.Permissions) > 0 && !slices.Contains(l.Permissions, f.Permissions):
		return false
	}
	return len(without(f.Tags, l.Tags)) == 0
}

func (f *Filters) entry(l *legacy.Key) entry {
	e := entry{id: l.ID}
	switch f.SortBy {
	case "name":
		e.name = l.Name
	case "lastUsedAt":
		e.at = l.LastUsedAt
	case "expiresAt":
		if e.at = l.ExpiresAt; e.at.IsZero() {
			e.at = latest.AddDate(1, 0, 0)
		}
	default:
		e.at = l.CreatedAt
	}
	return e
}

func (f *Filters) compare(a, b entry) int {
	order := cmp.Or(cmp.Compare(a.name, b.name), a.at.Compare(b.at), cmp.Compare(a.id, b.id))
	if f.SortOrder == "DESC" {
		return -order
	}
	return order
}

// whole reads the keys of a page; one that has gone since is left out.
func whole(ctx context.Context, c rueidis.Client, found []entry) ([]APIKey, error) {
	keys := make([]APIKey, 0, len(found))
	cmds := make(rueidis.Commands, len(found))
	for i := range found {
		cmds[i] = c.B().Hgetall().Key("apikey:" + found[i].id).Build()
	}
	for i, reply := range c.DoMulti(ctx, cmds...) {
		fields, err := reply.AsStrMap()
		if err != nil {
			return nil, err
		}
		if l, _ := legacy.ParseKey(found[i].id, fields); len(fields) > 0 && !l.IsDeleted {
			keys = append(keys, fromLegacy(&l))
		}
	}
	return keys, nil
}
