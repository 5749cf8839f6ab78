package usage

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/repo/result"
)

// TestVerifyFindsEachFault damages one row after the other. Only that one is named,
// and only that one is written.
func TestVerifyFindsEachFault(t *testing.T) {
	t.Parallel()
	b := setup(t, 3)
	b.spread(t)
	clean := b.verify(t, true)
	require.Zero(t, clean.Wrong)
	require.Equal(t, at(t, "2025-03-01T00:00:00Z"), clean.From)
	require.Equal(t, at(t, "2025-03-04T00:00:00Z"), clean.To)
	before := b.versions(t)
	for _, tier := range tierTables {
		for _, how := range damages {
			want := b.damage(t, tier, how)
			name := fmt.Sprintf("%s %s", tier.name, how)
			found := b.verify(t, false)
			require.Equal(t, []WrongCell{want}, found.Cells, name)
			require.EqualValues(t, 1, found.Wrong, name)
			require.Zero(t, found.Repaired, name)
			mended := b.verify(t, true)
			require.Equal(t, []WrongCell{want}, mended.Cells, name)
			require.EqualValues(t, 1, mended.Wrong, name)
			require.EqualValues(t, 1, mended.Repaired, name)
			after, moved := b.versions(t), 0
			require.Len(t, after, len(before), name)
			for row, version := range before {
				require.Contains(t, after, row, name)
				if after[row] != version {
					moved++
				}
			}
			require.LessOrEqual(t, moved, 1, name)
			before = after
		}
	}
	require.Zero(t, b.verify(t, false).Wrong)
	b.requireRollupsEqualRecords(t)
}

// TestVerifyJudgesByTheRecords damages every tier of one day at once: without a
// repair, none is judged by a wrong one.
func TestVerifyJudgesByTheRecords(t *testing.T) {
	t.Parallel()
	b := setup(t, 2)
	b.spread(t)
	for _, how := range []string{"cost", "missing", "extra"} {
		var want []WrongCell
		for _, tier := range tierTables {
			want = append(want, b.damage(t, tier, how))
		}
		require.ElementsMatch(t, want, b.verify(t, false).Cells, how)
		rep := b.verify(t, true)
		require.ElementsMatch(t, want, rep.Cells, how)
		require.EqualValues(t, len(want), rep.Repaired, how)
		require.Zero(t, b.verify(t, false).Wrong, how)
	}
	b.requireRollupsEqualRecords(t)
}

// TestVerifyNamesTheFirst has more wrong cells than a report names.
func TestVerifyNamesTheFirst(t *testing.T) {
	t.Parallel()
	b := setup(t, 3)
	b.spread(t)
	b.exec(t, "TRUNCATE usage_rollups, usage_rollups_hourly, usage_rollups_daily, usage_rollups_global, usage_rollups_global_daily, usage_totals")
	rep := b.verify(t, false)
	require.Len(t, rep.Cells, maxCellsReported)
	require.Equal(t, rep.Wrong, maxCellsReported+rep.More)
	mended := b.verify(t, true)
	require.Equal(t, rep.Wrong, mended.Wrong)
	require.Equal(t, rep.Wrong, mended.Repaired)
	require.Zero(t, b.verify(t, false).Wrong)
	b.requireRollupsEqualRecords(t)
}

// TestVerifyEmpty has nothing, then a total of nothing, then a row far from the rest:
// only days with data are visited.
func TestVerifyEmpty(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	rep := b.verify(t, false)
	require.Equal(t, VerifyReport{Chunks: 3, Cells: []WrongCell{}}, rep)
	b.spread(t)
	b.exec(t, "TRUNCATE usage_records, usage_pending")
	rep = b.verify(t, true)
	require.Equal(t, rep.Wrong, rep.Repaired)
	for _, tier := range tierTables {
		require.Zero(t, b.count(t, "SELECT count(*) FROM "+tier.name), tier.name)
	}
	b.spread(t)
	b.exec(t, `INSERT INTO usage_rollups SELECT api_key_id, account_id, '2000-01-01Z', records, requests, input_tokens, output_tokens,
		cache_creation_tokens, cache_read_tokens, total_tokens, cost, model FROM usage_rollups LIMIT 1`)
	rep = b.verify(t, true)
	require.EqualValues(t, 1, rep.Repaired)
	require.Equal(t, at(t, "2000-01-01T00:00:00Z"), rep.From)
	require.Less(t, rep.Chunks, 40)
}

func TestVerifyReportJSON(t *testing.T) {
	t.Parallel()
	rep := VerifyReport{
		From: at(t, "2025-03-01T00:00:00Z"), To: at(t, "2025-03-02T00:00:00Z"), Chunks: 9, Wrong: 4, Repaired: 4, More: 1, Unchecked: "why",
		Cells: []WrongCell{
			{Tier: "usage_rollups", Fault: "extra", APIKeyID: "k", AccountID: "a", Model: "m", Bucket: at(t, "2025-03-01T08:15:00+08:00")},
			{Tier: "usage_rollups_global", Fault: "figures", Model: "m", Bucket: at(t, "2025-03-01T00:00:00Z")},
			{Tier: "usage_totals", Fault: "missing", AccountID: "a"},
		},
	}
	out, err := json.Marshal(rep)
	require.NoError(t, err)
	require.JSONEq(t, `{"from": "2025-03-01T00:00:00.000Z", "to": "2025-03-02T00:00:00.000Z", "chunks": 9, "wrong": 4, "repaired": 4,
		"more": 1, "unchecked": "why", "cells": [
			{"tier": "usage_rollups", "fault": "extra", "apiKeyId": "k", "accountId": "a", "model": "m", "bucket": "2025-03-01T00:15:00.000Z"},
			{"tier": "usage_rollups_global", "fault": "figures", "model": "m", "bucket": "2025-03-01T00:00:00.000Z"},
			{"tier": "usage_totals", "fault": "missing", "accountId": "a"}]}`, string(out))
}

// TestVerifyInterrupted ends it after the first day and runs it again.
func TestVerifyInterrupted(t *testing.T) {
	t.Parallel()
	b := setup(t, 3)
	b.spread(t)
	b.exec(t, "UPDATE usage_rollups_daily SET cost = cost + 1")
	wrong := b.count(t, "SELECT count(*) FROM usage_rollups_daily")
	ctx, cancel := context.WithCancel(t.Context())
	first, err := b.Verify(ctx, VerifyOptions{Repair: true, Progress: func(done, total int) {
		require.LessOrEqual(t, done, total)
		if done > 24 {
			cancel()
		}
	}})
	require.ErrorIs(t, err, result.Cancelled)
	require.Positive(t, first.Repaired)
	require.Less(t, first.Repaired, wrong)
	require.Equal(t, wrong, first.Repaired+b.verify(t, true).Repaired)
	require.Zero(t, b.verify(t, false).Wrong)
}

// TestVerifyRangesOfIDs has ranges of few rows.
func TestVerifyRangesOfIDs(t *testing.T) {
	t.Parallel()
	b := setup(t, 3)
	b.spread(t)
	b.exec(t, "UPDATE usage_totals SET requests = requests + 1")
	// Next to the nil UUID, whose range may end with it.
	b.exec(t, `INSERT INTO usage_totals SELECT '00000000-0000-0000-0000-000000000001', records, requests, input_tokens, output_tokens,
		cache_creation_tokens, cache_read_tokens, total_tokens, cost, kind FROM usage_totals WHERE kind = 'account' LIMIT 1`)
	ids := b.count(t, "SELECT count(*) FROM usage_totals")
	for _, rows := range []int32{0, 1, 3, 1000} {
		v := b.verification(VerifyOptions{})
		v.rows = rows
		require.NoError(t, v.run(t.Context()))
		require.Equal(t, ids, v.report.Wrong)
		if rows == 0 {
			require.EqualValues(t, ids-1+2, v.ranges, "one an id of the days, and the rest after the last one of a kind")
		}
	}
}
