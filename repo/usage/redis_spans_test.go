package usage

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/legacy"
	"github.com/seed14a526e0/relaystore/repo/result"
)

func TestRedisSpans(t *testing.T) {
	t.Parallel()
	k := keeping{now: time.Date(2026, 11, 30, 12, 30, 0, 0, time.UTC), zone: time.FixedZone("", 8*3600)} // 20:30 there
	at := func(text string) time.Time {
		when, err := time.Parse(time.RFC3339, text)
		require.NoError(t, err)
		return when
	}
	for name, c := range map[string]struct {
		from, to    string
		granularity Granularity
		zone        string
		spans       int
		first       string
		res         legacy.Resolution
		approximate []int
		refused     string
	}{
		"hours":                      {"2026-11-30T00:00:00Z", "2026-11-30T03:00:00Z", Hour, "", 3, "2026-11-30:08", legacy.Hour, nil, ""},
		"a day of UTC is 24 hours":   {"2026-11-29T00:00:00Z", "2026-11-30T00:00:00Z", Day, "", 24, "2026-11-29:08", legacy.Hour, nil, ""},
		"a day of the layout":        {"2026-11-02T00:00:00+08:00", "2026-11-03T00:00:00+08:00", Day, "Asia/Shanghai", 1, "2026-11-02", legacy.Day, nil, ""},
		"a month of the layout":      {"2026-09-01T00:00:00+08:00", "2026-11-01T00:00:00+08:00", Month, "Asia/Shanghai", 2, "2026-09", legacy.Month, nil, ""},
		"until now":                  {"2026-11-30T20:00:00+08:00", "2026-11-30T20:30:00+08:00", Hour, "", 1, "2026-11-30:20", legacy.Hour, []int{0}, ""},
		"since a part of an hour":    {"2026-11-30T08:10:00Z", "2026-11-30T10:00:00Z", Hour, "", 1, "2026-11-30:17", legacy.Hour, []int{0}, ""},
		"since a part of a day":      {"2026-11-10T09:00:00+08:00", "2026-11-12T00:00:00+08:00", Day, "Asia/Shanghai", 1, "2026-11-11", legacy.Day, []int{0}, ""},
		"nothing is later than soon": {"2026-11-30T20:00:00+08:00", "2027-11-30T20:00:00+08:00", Month, "Asia/Shanghai", 5, "2026-11-30:20", legacy.Hour, nil, ""},
		"hours that are gone":        {"2026-11-20T00:00:00Z", "2026-11-21T00:00:00Z", Hour, "", 0, "", "", nil, "startDate"},
		"days that are gone":         {"2026-10-01T00:00:00+08:00", "2026-10-10T00:00:00+08:00", Day, "Asia/Shanghai", 0, "", "", nil, "startDate"},
		"months that are gone":       {"2024-10-01T00:00:00+08:00", "2026-10-01T00:00:00+08:00", Month, "Asia/Shanghai", 0, "", "", nil, "startDate"},
		"days of another zone":       {"2026-11-10T00:00:00Z", "2026-11-12T00:00:00Z", Day, "", 0, "", "", nil, "timeZone"},
		"half hours":                 {"2026-11-29T18:30:00Z", "2026-11-30T05:30:00Z", Hour, "Asia/Kolkata", 0, "", "", nil, "timeZone"},
	} {
		q := StatsQuery{StartDate: at(c.from), EndDate: at(c.to), Granularity: c.granularity, TimeZone: c.zone}
		p, err := q.plan()
		require.NoError(t, err, name)
		spans, approximate, err := k.cover(&p)
		if c.refused != "" {
			requireRefused(t, err, result.InvalidQuery, c.refused)
			if c.refused == "timeZone" {
				require.ErrorContains(t, err, "UTC+08:00 (Etc/GMT-8)", name)
			}
			continue
		}
		require.NoError(t, err, name)
		require.Len(t, spans, c.spans, name)
		require.Equal(t, c.first, spans[0].bucket, name)
		require.Equal(t, c.res, spans[0].res, name)
		require.Equal(t, c.approximate, approximate, name)
	}
}

func TestRedisRefusesFiguresOfAKeyAndAnAccount(t *testing.T) {
	t.Parallel()
	b := setupRedis(t, 1)
	now := time.Now().Truncate(time.Hour)
	q := StatsQuery{StartDate: now.Add(-time.Hour), EndDate: now, Granularity: Hour}
	both, grouped, ofAccount := q, q, q
	both.APIKeyID, both.AccountID = b.keys[0], accounts[1]
	grouped.APIKeyID, grouped.GroupBy = b.keys[0], ByAccount
	ofAccount.AccountID, ofAccount.GroupBy = accounts[1], ByAPIKey
	requireRefused(t, b.GetUsageStats(t.Context(), both).Err(), result.InvalidQuery, "accountId")
	requireRefused(t, b.GetUsageStats(t.Context(), grouped).Err(), result.InvalidQuery, "groupBy")
	requireRefused(t, b.GetUsageStats(t.Context(), ofAccount).Err(), result.InvalidQuery, "groupBy")
	requireRefused(t, b.GetCostAnalysis(t.Context(), CostQuery{APIKeyID: b.keys[0], StartDate: q.StartDate, EndDate: q.EndDate, GroupBy: ByAccount}).Err(),
		result.InvalidQuery, "groupBy")
}
