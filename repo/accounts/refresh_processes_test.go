package accounts_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/testclient"
	"github.com/seed14a526e0/relaystore/internal/testprovider"
	"github.com/seed14a526e0/relaystore/repo/accounts"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// Three processes of twenty callers each, over several expiries: one call each time,
// and everybody gets the new token.
func TestProcessesShareOneCall(t *testing.T) {
	shareOneCall(t, setupRefresh(t))
}

func shareOneCall(t *testing.T, r *refreshing) {
	t.Helper()
	gateways := []*gateway{r.gateway(""), r.gateway(""), r.gateway("")}
	before := r.access
	for round := 1; round <= 5; round++ {
		for _, g := range gateways {
			g.ask()
		}
		var tokens []string
		for _, g := range gateways {
			tokens = append(tokens, one(t, g.answers()[:callers]))
		}
		require.Equal(t, []string{tokens[0], tokens[0], tokens[0]}, tokens)
		require.NotEqual(t, before, tokens[0])
		require.True(t, r.p.Works(tokens[0]))
		require.Equal(t, round, r.p.Calls())
		before = tokens[0]
		r.expire()
	}
	require.Zero(t, r.p.Reused())
	for _, g := range gateways {
		g.end()
	}
}

// A provider that takes its time, and callers who come while it does.
func TestProcessesWaitForASlowProvider(t *testing.T) {
	r := setupRefresh(t)
	gateways := []*gateway{r.gateway(""), r.gateway(""), r.gateway("")}
	until := make(chan struct{})
	r.p.Answer(testprovider.Waits(until, testprovider.Rotates))
	gateways[0].ask()
	r.called(1)
	gateways[1].ask()
	gateways[2].ask()
	close(until)
	var all []answer
	for _, g := range gateways {
		all = append(all, g.answers()[:callers]...)
	}
	require.True(t, r.p.Works(one(t, all)))
	require.Equal(t, 1, r.p.Calls())
}

func TestProcessesShareAFailure(t *testing.T) {
	r := setupRefresh(t)
	r.p.Answer(testprovider.Says(429, "", "Retry-After", "120"))
	gateways := []*gateway{r.gateway(""), r.gateway(""), r.gateway("")}
	for _, g := range gateways {
		g.ask()
	}
	for _, g := range gateways {
		all := g.answers()
		for _, a := range all[:callers] {
			require.Equal(t, result.UpstreamRefreshFailed, a.Code)
			require.Equal(t, "rate_limited", a.Details["reason"])
			require.InDelta(t, 120, a.Details["retryAfterSeconds"], 60)
		}
		require.Equal(t, r.access, all[callers].Token, "the old one is still there")
	}
	require.Equal(t, 1, r.p.Calls())
}

// crash is a moment at which a process is killed, and what its successor makes of it.
type crash struct {
	blockAt string
	answer  testprovider.Answer // what the provider does with the killed one's call
	called  int                 // the provider, by the killed one
	again   int                 // and by the successor
	intent  bool                // is left behind
	used    bool                // the stored refresh token is used up
}

func TestProcessIsKilled(t *testing.T) {
	for name, c := range map[string]crash{
		"before it has the lease":                      {blockAt: "before AccountRefreshLease", again: 1},
		"with the lease":                               {blockAt: "after AccountRefreshLease", again: 1},
		"before the intent":                            {blockAt: "before AccountRefreshIntend", again: 1},
		"after the intent, before the call":            {blockAt: "after AccountRefreshIntend", again: 1, intent: true},
		"during the call":                              {answer: testprovider.Stalls, called: 1, again: 1, intent: true},
		"after the provider rotated, without answer":   {answer: testprovider.RotatesAndStalls, called: 1, again: 1, intent: true, used: true},
		"after the answer, before storing":             {blockAt: "before AccountGetCredentialsForUpdate", called: 1, again: 1, intent: true, used: true},
		"after storing, before the commit":             {blockAt: "before commit", called: 1, again: 1, intent: true, used: true},
		"after the commit, before anybody hears of it": {blockAt: "after commit", called: 1},
	} {
		t.Run(name, func(t *testing.T) { c.run(t) })
	}
}

// kill lets a process come to the moment and kills it.
func (c crash) kill(r *refreshing) {
	r.Helper()
	if c.answer != nil {
		r.p.Answer(c.answer)
	}
	g := r.gateway(c.blockAt)
	g.ask()
	if c.blockAt != "" {
		require.Equal(r, "blocked", g.line())
	}
	r.called(c.called)
	require.Eventually(r, func() bool { return r.p.Works(r.access) != (c.used || c.again == 0) }, patience, time.Millisecond)
	g.kill()
	require.Eventually(r, func() bool {
		return r.count("SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction' AND datname = current_database()") == 0
	}, patience, time.Millisecond, "PostgreSQL has noticed")
	require.Equal(r, c.intent, r.count("SELECT count(*) FROM account_refreshes WHERE intent_at IS NOT NULL") == 1)
	require.Equal(r, c.called, r.p.Calls())
}

func (c crash) run(t *testing.T) {
	r := setupRefresh(t)
	c.kill(r)
	r.p.Answer(testprovider.Rotates)
	r.exec("UPDATE account_refreshes SET lease_expires_at = now()") // a minute has passed
	r.accs.Hurry(0, time.Millisecond, 0)
	got, err := r.call()
	require.Equal(t, c.called+c.again, r.p.Calls())
	require.Equal(t, c.used, r.p.Reused() > 0)
	if !c.used {
		require.NoError(t, err)
		require.True(t, r.p.Works(got.AccessToken))
		require.Equal(t, accounts.Active, r.get(r.id).Status)
		require.Equal(t, got.AccessToken, r.credentials(r.id).AccessToken)
		return
	}
	r.refused(err, map[string]any{"reason": "invalid_grant", "status": 400})
	a := r.get(r.id)
	require.Equal(t, accounts.InError, a.Status)
	require.Contains(t, a.ErrorMessage, "the answer of an earlier refresh was lost")
}

// The lease of a killed process keeps the others away until it ends.
func TestLeaseOfAKilledProcess(t *testing.T) {
	r := setupRefresh(t)
	g := r.gateway("after AccountRefreshLease")
	g.ask()
	require.Equal(t, "blocked", g.line())
	g.kill()
	require.Equal(t, 1, r.count("SELECT count(*) FROM account_refreshes WHERE lease_expires_at BETWEEN now() + interval '30 seconds' AND now() + interval '60 seconds'"))
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	require.ErrorIs(t, r.accs.RefreshOAuthToken(ctx, r.id).Err(), result.QueryTimeout)
	require.Zero(t, r.p.Calls())
	r.exec("UPDATE account_refreshes SET lease_expires_at = now()")
	r.mustCall()
}

// pauser stops a query until it is released.
type pauser struct {
	query           string
	paused, release chan struct{}
}

func (p *pauser) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	if strings.HasPrefix(data.SQL, "-- name: "+p.query+" ") {
		p.paused <- struct{}{}
		<-p.release
	}
	return ctx
}

func (*pauser) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// Between a process's look and its lease another one has done it all.
func TestLooksAgainUnderTheLease(t *testing.T) {
	r := setupRefresh(t)
	p := &pauser{"AccountRefreshLease", make(chan struct{}), make(chan struct{})}
	cfg := r.cfg
	pc, err := pgxpool.ParseConfig(cfg.DatabaseURL)
	require.NoError(t, err)
	pc.ConnConfig.Tracer = p
	cfg.Pool, err = pgxpool.NewWithConfig(t.Context(), pc)
	require.NoError(t, err)
	t.Cleanup(cfg.Pool.Close)
	cfg.DatabaseURL, cfg.MaxConns = "", 0
	other := testclient.Open(t, cfg).Accounts
	for _, late := range []bool{false, true} {
		done := make(chan result.Result[accounts.Refreshed], 1)
		go func() { done <- other.RefreshOAuthToken(r.ctx(), r.id) }()
		<-p.paused
		calls := r.p.Calls()
		got := r.mustCall()
		if late { // more than ten seconds ago: the token tells
			r.expire()
		}
		p.release <- struct{}{}
		same, err := (<-done).Get()
		require.NoError(t, err)
		require.Equal(t, got, same)
		require.Equal(t, calls+1, r.p.Calls())
		require.NoError(t, r.another().RefreshOAuthToken(r.ctx(), r.id).Err(), "and gives the lease back")
		r.expire()
	}
}
