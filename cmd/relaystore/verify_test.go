package main

import (
	"encoding/json"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/usage"
	"github.com/seed14a526e0/relaystore/strategy"
)

// compacted replays the sample and waits until nothing is pending.
func compacted(t *testing.T, env []string, url string) (exec func(sql string)) {
	t.Helper()
	replayed(t, env, sample, "--keys", "100")
	pool := testdb.Pool(t, url)
	r := usage.New(usage.Config{Primary: &strategy.Postgres{Pool: pool, OpTimeout: patience}, Logger: slog.New(slog.DiscardHandler)})
	defer func() { require.NoError(t, r.Close(t.Context())) }()
	stranger := usage.Record{APIKeyID: uuid.NewString(), AccountType: "claude", Model: "m"}
	require.ErrorIs(t, r.RecordUsage(t.Context(), stranger).Err(), result.RecordNotFound) // which wakes the compactor
	require.Eventually(t, func() bool {
		var pending int
		require.NoError(t, pool.QueryRow(t.Context(), "SELECT count(*) FROM usage_pending").Scan(&pending))
		return pending == 0
	}, patience, time.Millisecond)
	return func(sql string) {
		tag, err := pool.Exec(t.Context(), sql)
		require.NoError(t, err)
		require.Positive(t, tag.RowsAffected())
	}
}

func verified(t *testing.T, env []string, want int, args ...string) usage.VerifyReport {
	t.Helper()
	p := relaystore(t, env, append([]string{"verify", "--json"}, args...)...)
	out, code := p.finish(t)
	require.Equal(t, want, code, p.errors.String())
	var rep usage.VerifyReport
	require.NoError(t, json.Unmarshal([]byte(out), &rep), out)
	return rep
}

func TestVerifyCommand(t *testing.T) {
	t.Parallel()
	url := testdb.URL(t)
	env := serverEnv(t, url)
	exec := compacted(t, env, url)
	clean := verified(t, env, exitOK)
	require.Zero(t, clean.Wrong)
	require.NotNil(t, clean.Cells)
	require.Equal(t, "2023-11-16", clean.From.Format(time.DateOnly))
	require.Equal(t, "2023-11-17", clean.To.Format(time.DateOnly))
	require.Positive(t, clean.Chunks)

	exec("UPDATE usage_totals SET cost = cost + 1 WHERE kind = 'account'")
	found := verified(t, env, exitFailure)
	require.EqualValues(t, 1, found.Wrong)
	require.Zero(t, found.Repaired)
	require.Equal(t, []usage.WrongCell{{Tier: "usage_totals", Fault: "figures", AccountID: "00000000-0000-0000-0000-000000000000"}}, found.Cells)

	p := relaystore(t, env, "verify")
	out, code := p.finish(t)
	require.Equal(t, exitFailure, code)
	require.Contains(t, out, "usage_totals")
	require.Contains(t, out, "1 cells wrong, 0 repaired")
	require.Equal(t, "relaystore: 1 cells are wrong; relaystore verify --repair replaces them\n", p.errors.String())

	repaired := verified(t, env, exitOK, "--repair")
	require.EqualValues(t, 1, repaired.Repaired)
	require.Equal(t, found.Cells, repaired.Cells)
	require.Zero(t, verified(t, env, exitOK).Wrong)
}

func TestVerifyEmptyLedger(t *testing.T) {
	t.Parallel()
	env := serverEnv(t, testdb.URL(t))
	out, code := relaystore(t, env, "verify").finish(t)
	require.Equal(t, exitOK, code)
	require.Equal(t, "Compared no records in 3 chunks: 0 cells wrong, 0 repaired.\n", out)
	out, code = relaystore(t, env, "verify", "--json").finish(t)
	require.Equal(t, exitOK, code)
	require.JSONEq(t, `{"chunks": 3, "wrong": 0, "repaired": 0, "cells": []}`, out)
}

func TestVerifyNamesTheRest(t *testing.T) {
	t.Parallel()
	url := testdb.URL(t)
	env := serverEnv(t, url)
	exec := compacted(t, env, url)
	exec("UPDATE usage_rollups SET cost = cost + 1")
	exec("UPDATE usage_rollups_hourly SET cost = cost + 1")
	exec("UPDATE usage_rollups_daily SET cost = cost + 1")
	out, code := relaystore(t, env, "verify", "--repair").finish(t)
	require.Equal(t, exitOK, code)
	require.Regexp(t, `and \d+ more`, out)
	require.Zero(t, verified(t, env, exitOK).Wrong)
}

func TestVerifyRefusals(t *testing.T) {
	t.Parallel()
	p := relaystore(t, serverEnv(t, testdb.EmptyURL(t)), "verify")
	_, code := p.finish(t)
	require.Equal(t, exitNotMigrated, code)
	p = relaystore(t, otherURLs, "verify", "everything")
	_, code = p.finish(t)
	require.Equal(t, exitUsage, code)
}

// TestVerifyInterrupted ends it while it waits for a table, and runs it again.
func TestVerifyInterrupted(t *testing.T) {
	t.Parallel()
	url := testdb.URL(t)
	env := serverEnv(t, url)
	compacted(t, env, url)
	pool := testdb.Pool(t, url)
	tx, err := pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), "LOCK TABLE usage_rollups_daily IN ACCESS EXCLUSIVE MODE")
	require.NoError(t, err)
	p := relaystore(t, env, "verify")
	require.Eventually(t, func() bool {
		var waits int
		require.NoError(t, pool.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event_type = 'Lock'`).Scan(&waits))
		return waits > 0
	}, patience, time.Millisecond)
	require.NoError(t, p.Process.Signal(os.Interrupt))
	out, code := p.finish(t)
	require.Equal(t, exitInterrupted, code)
	require.Empty(t, out)
	require.NoError(t, tx.Rollback(t.Context()))
	require.Zero(t, verified(t, env, exitOK).Wrong)
}
