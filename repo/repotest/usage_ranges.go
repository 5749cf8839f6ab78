package repotest

import (
	"maps"
	"slices"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/usage"
)

// exactly tells whether figures are given and not approximate.
func (b *bundle) exactly(q usage.StatsQuery) (usage.Stats, bool) {
	b.Helper()
	s, err := b.two.Usage.GetUsageStats(b.ctx(), q).Get()
	if err != nil {
		require.ErrorIs(b, err, result.InvalidQuery)
		return s, false
	}
	return s, !slices.ContainsFunc(s.Stats, func(bucket usage.Bucket) bool { return bucket.Approximate })
}

// usageEdges: a range that begins and ends anywhere has what lies in it.
func usageEdges(b *bundle) {
	k := b.key(apikeys.KeyData{}).ID
	from := midnight(1).Add(3*time.Hour + 7*time.Minute + 1234*time.Microsecond)
	for _, at := range []time.Time{from.Add(-time.Microsecond), from, from.Add(time.Minute), from.Add(2 * time.Minute)} {
		b.record(usage.Record{APIKeyID: k, RequestCount: 1, Timestamp: at})
	}
	require.EqualValues(b, 4, b.requests(usage.StatsQuery{APIKeyID: k}))
	s, exact := b.exactly(usage.StatsQuery{APIKeyID: k, StartDate: from, EndDate: from.Add(2 * time.Minute), Granularity: usage.Hour, TimeZone: b.caps.Zone})
	require.Equal(b, b.caps.Cells == 0, exact)
	if exact {
		require.EqualValues(b, 2, s.Summary.TotalRequests)
	}
}

// usageZones: days are those of any zone, or of the one zone.
func usageZones(b *bundle) {
	k := b.key(apikeys.KeyData{}).ID
	b.record(usage.Record{APIKeyID: k, RequestCount: 1, Timestamp: midnight(1).Add(18*time.Hour + 16*time.Minute)})
	require.EqualValues(b, 1, b.requests(usage.StatsQuery{APIKeyID: k}))
	for zone, can := range map[string]bool{b.caps.zone(): true, "Asia/Kathmandu": b.caps.Zone == "", "America/St_Johns": b.caps.Zone == ""} {
		loc, err := time.LoadLocation(zone)
		require.NoError(b, err)
		start := midnight(1).In(loc)
		start = time.Date(start.Year(), start.Month(), start.Day()-1, 0, 0, 0, 0, loc)
		s, exact := b.exactly(usage.StatsQuery{APIKeyID: k, StartDate: start, EndDate: start.AddDate(0, 0, 4), Granularity: usage.Day, TimeZone: zone})
		require.Equal(b, can, exact, zone)
		if !exact {
			continue
		}
		days := make(map[string]int64)
		for _, bucket := range s.Stats {
			days[bucket.Date] = bucket.Requests
		}
		day := midnight(1).Add(18*time.Hour + 16*time.Minute).In(loc).Format("2006-01-02")
		require.EqualValues(b, 1, days[day], "%s: %v", zone, slices.Sorted(maps.Keys(days)))
	}
}

// usageHistory: a record of long ago is in the figures, or it is not.
func usageHistory(b *bundle) {
	k := b.key(apikeys.KeyData{}).ID
	at := midnight(200).Add(time.Hour)
	if b.caps.History != 0 {
		at = midnight(0).Add(-b.caps.History - 48*time.Hour)
	}
	err := b.one.Usage.RecordUsage(b.ctx(), usage.Record{APIKeyID: k, AccountType: "claude", Model: "m", RequestCount: 1, Timestamp: at}).Err()
	if b.caps.History != 0 && err != nil {
		b.refused(err, result.InvalidQuery, "timestamp")
		return
	}
	require.NoError(b, err)
	start := at.Truncate(24 * time.Hour)
	q := usage.StatsQuery{APIKeyID: k, StartDate: start.AddDate(0, 0, -1), EndDate: start.AddDate(0, 0, 2), Granularity: usage.Hour, TimeZone: b.caps.Zone}
	if b.caps.History != 0 {
		s, _ := b.exactly(q)
		require.Zero(b, s.Summary.TotalRequests)
		return
	}
	require.EqualValues(b, 1, b.stats(b, b.two, q).Summary.TotalRequests)
}

// usageCleanup: old records go, and the figures stay.
func usageCleanup(b *bundle) {
	k := b.key(apikeys.KeyData{}).ID
	if b.caps.History != 0 {
		require.NoError(b, b.one.Usage.CleanupOldStats(b.ctx(), usage.DefaultRetentionDays).Err())
		return
	}
	at := midnight(300)
	b.record(usage.Record{APIKeyID: k, RequestCount: 1, Timestamp: at.Add(time.Hour)})
	q := usage.StatsQuery{APIKeyID: k, StartDate: at.AddDate(0, 0, -1), EndDate: at.AddDate(0, 0, 2), Granularity: usage.Day, TimeZone: b.caps.Zone}
	require.EqualValues(b, 1, b.stats(b, b.one, q).Summary.TotalRequests)
	require.Positive(b, get(b, b.one.Usage.CleanupOldStats(b.ctx(), usage.DefaultRetentionDays)).DeletedRecords)
	require.EqualValues(b, 1, b.stats(b, b.two, q).Summary.TotalRequests)
}
