package apikeys_test

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/usage"
)

func (b *bundle) get2000(by usage.GroupBy) usage.Stats {
	b.Helper()
	s, err := b.Usage.GetUsageStats(b.ctx(), usage.StatsQuery{
		StartDate: time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC), EndDate: time.Now().Add(time.Hour), Granularity: usage.Month, GroupBy: by,
	}).Get()
	require.NoError(b, err)
	return s
}

// population makes keys that differ in all that lists filter and sort by.
func population(b *bundle) []apikeys.APIKey {
	var keys []apikeys.APIKey
	now := time.Now()
	for i := range 40 {
		d := apikeys.KeyData{
			Name:        fmt.Sprintf("key %c", 'a'+i*7%13),
			Permissions: []string{"all", "claude", "gemini", "openai,claude"}[i%4],
			Tags:        [][]string{nil, {"x"}, {"x", "y"}, {"y"}}[i*3%4],
		}
		switch i % 3 {
		case 1:
			d.ExpiresAt = now.Add(time.Duration(i+1) * time.Hour)
		case 2:
			d.ExpiresAt = now.Add(-time.Duration(i+1) * time.Hour)
		}
		k := b.create(d)
		if i%5 == 0 {
			require.NoError(b, b.keys.UpdateAPIKey(b.ctx(), k.ID, apikeys.Patch{IsActive: result.Set(false)}).Err())
		}
		if i%4 == 0 {
			_, err := b.pool.Exec(b.ctx(), "INSERT INTO api_key_last_used VALUES ($1, $2)", k.ID, now.Add(-time.Duration(i%8)*time.Minute))
			require.NoError(b, err)
		}
		keys = append(keys, b.get(k.ID))
	}
	require.NoError(b, b.keys.DeleteAPIKey(b.ctx(), keys[7].ID).Err())
	return slices.Delete(keys, 7, 8)
}

// expected filters and sorts in Go, written from the documentation of Filters.
func expected(keys []apikeys.APIKey, f apikeys.Filters) []string {
	keys = slices.DeleteFunc(slices.Clone(keys), func(k apikeys.APIKey) bool {
		active := k.IsActive && (k.ExpiresAt.IsZero() || time.Now().Before(k.ExpiresAt))
		granted := k.Permissions == "all" || slices.Contains(strings.Split(k.Permissions, ","), f.Permissions)
		for _, tag := range f.Tags {
			if !slices.Contains(k.Tags, tag) {
				return true
			}
		}
		return (f.IsActive != nil && *f.IsActive != active) || (f.Permissions != "" && !granted)
	})
	never := time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
	slices.SortFunc(keys, func(a, b apikeys.APIKey) int {
		var order int
		switch f.SortBy {
		case "name":
			order = cmp.Compare(a.Name, b.Name)
		case "lastUsedAt":
			order = a.LastUsedAt.Compare(b.LastUsedAt)
		case "expiresAt":
			ends := func(k apikeys.APIKey) time.Time {
				if k.ExpiresAt.IsZero() {
					return never
				}
				return k.ExpiresAt
			}
			order = ends(a).Compare(ends(b))
		default:
			order = a.CreatedAt.Compare(b.CreatedAt)
		}
		if order == 0 {
			order = cmp.Compare(a.ID, b.ID)
		}
		if f.SortOrder != "ASC" {
			order = -order
		}
		return order
	})
	ids := []string{}
	for _, k := range keys {
		ids = append(ids, k.ID)
	}
	return ids
}

func TestListEqualsModel(t *testing.T) {
	b := setup(t)
	keys := population(b)
	yes, no := true, false
	rapid.Check(t, func(rt *rapid.T) {
		f := apikeys.Filters{
			IsActive:    rapid.SampledFrom([]*bool{nil, &yes, &no}).Draw(rt, "isActive"),
			Permissions: rapid.SampledFrom([]string{"", "all", "claude", "gemini", "openai", "droid"}).Draw(rt, "permissions"),
			Tags:        rapid.SampledFrom([][]string{nil, {"x"}, {"y"}, {"x", "y"}, {"z"}}).Draw(rt, "tags"),
			SortBy:      rapid.SampledFrom([]string{"", "createdAt", "name", "lastUsedAt", "expiresAt"}).Draw(rt, "sortBy"),
			SortOrder:   rapid.SampledFrom([]string{"", "ASC", "DESC"}).Draw(rt, "sortOrder"),
			Limit:       rapid.IntRange(0, 20).Draw(rt, "limit"),
		}
		want := expected(keys, f)
		size := f.Limit
		if size == 0 {
			size = 50
		}
		for f.Offset = 0; ; f.Offset += size {
			p, err := b.keys.GetAllAPIKeys(b.ctx(), f).Get()
			require.NoError(rt, err)
			got := []string{}
			for _, k := range p.Keys {
				got = append(got, k.ID)
			}
			require.Equal(rt, want[min(f.Offset, len(want)):min(f.Offset+size, len(want))], got)
			require.Equal(rt, len(want), p.Total)
			require.Equal(rt, f.Offset/size+1, p.Page)
			require.Equal(rt, (len(want)+size-1)/size, p.TotalPages)
			if f.Offset > len(want) {
				return // one page beyond the end has been looked at, too
			}
		}
	})
}

func TestListRefusesByName(t *testing.T) {
	b := setup(t)
	for field, f := range map[string]apikeys.Filters{
		"limit":       {Limit: 1001},
		"offset":      {Offset: -1},
		"sortBy":      {SortBy: "name; DROP TABLE api_keys"},
		"sortOrder":   {SortOrder: "asc"},
		"permissions": {Permissions: "root"},
		"tags":        {Tags: []string{"\x00"}},
	} {
		requireField(t, b.keys.GetAllAPIKeys(b.ctx(), f).Err(), result.InvalidQuery, field)
	}
	requireField(t, b.keys.GetAllAPIKeys(b.ctx(), apikeys.Filters{Limit: -1}).Err(), result.InvalidQuery, "limit")
}
