package accounts_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/faultproxy"
	"github.com/seed14a526e0/relaystore/internal/testprovider"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/accounts"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// faulty is a refreshing whose other process reaches PostgreSQL through a proxy.
type faulty struct {
	*refreshing

	proxy  *faultproxy.Proxy
	client *repo.Client
	there  *accounts.Repo
}

func setupFaulty(t *testing.T, change ...func(*repo.Config)) *faulty {
	t.Helper()
	r := setupRefresh(t)
	f := &faulty{refreshing: r}
	cfg := r.cfg
	for _, c := range change {
		c(&cfg)
	}
	f.proxy, cfg.DatabaseURL = faultproxy.Postgres(t, cfg.DatabaseURL)
	var err error
	f.client, err = repo.Open(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { _ = f.client.Close(context.Background()) })
	f.there = f.client.Accounts
	return f
}

func (f *faulty) ask() <-chan result.Result[accounts.Refreshed] {
	done := make(chan result.Result[accounts.Refreshed], 1)
	go func() { done <- f.there.RefreshOAuthToken(f.ctx(), f.id) }()
	return done
}

func (f *faulty) requireStored() {
	f.Helper()
	f.renewed()
	require.Equal(f, 1, f.p.Calls())
	require.Zero(f, f.p.Reused())
	require.Zero(f, f.count("SELECT count(*) FROM account_refreshes WHERE intent_at IS NOT NULL"))
}

// PostgreSQL goes away while the provider answers, for longer than an operation may
// take, and comes back.
func TestStoringIsTriedAgain(t *testing.T) {
	f := setupFaulty(t, func(c *repo.Config) { c.OpTimeout = time.Second })
	until := make(chan struct{})
	f.p.Answer(testprovider.Waits(until, testprovider.Rotates))
	done := f.ask()
	f.called(1)
	f.proxy.Cut()
	close(until)
	since := time.Now()
	require.Eventually(t, func() bool { return time.Since(since) > 2*time.Second }, patience, 10*time.Millisecond)
	require.Equal(t, 1, f.there.Unstored())
	f.proxy.Pass()
	got, err := (<-done).Get()
	require.NoError(t, err)
	require.True(t, f.p.Works(got.AccessToken))
	require.Zero(t, f.there.Unstored())
	f.requireStored()
}

// PostgreSQL has committed and nobody hears of it: the second try finds that out.
func TestStoredWithoutAnAnswer(t *testing.T) {
	f := setupFaulty(t)
	cut := f.proxy.On(faultproxy.ToClient, faultproxy.CommitDone, faultproxy.CutBefore)
	done := f.ask()
	<-cut
	f.proxy.Pass()
	got, err := (<-done).Get()
	require.NoError(t, err)
	require.True(t, f.p.Works(got.AccessToken))
	f.requireStored()
	require.Equal(t, got.AccessToken, f.credentials(f.id).AccessToken)
}

// Stored late: the next call stores what is kept, and does not use the old token.
func TestUnstoredTokensAreKept(t *testing.T) {
	f := setupFaulty(t)
	f.there.Hurry(0, 0, time.Millisecond)
	f.down()
	e := result.From((<-f.ask()).Err())
	require.Equal(t, true, e.Details["outcomeUnknown"])
	require.Contains(t, e.Message, "the provider has refreshed the token, but it could not be stored")
	require.Contains(t, f.log.String(), "level=ERROR msg=\"relaystore: an account's new tokens could not be stored")
	require.NotContains(t, f.log.String(), "sk-")

	require.Error(t, (<-f.ask()).Err(), "still down")
	require.Equal(t, 1, f.there.Unstored())
	f.proxy.Pass()
	got, err := (<-f.ask()).Get()
	require.NoError(t, err)
	require.True(t, f.p.Works(got.AccessToken))
	require.Zero(t, f.there.Unstored())
	f.requireStored()
}

// down cuts PostgreSQL off at the moment of storing.
func (f *faulty) down() {
	f.p.Answer(func(w http.ResponseWriter, _ *http.Request, exchange func(http.ResponseWriter)) {
		f.proxy.Cut()
		exchange(w)
	})
}

// kept lets a refresh give up storing.
func (f *faulty) kept() {
	f.Helper()
	f.there.Hurry(0, 0, time.Millisecond)
	f.down()
	require.Error(f, (<-f.ask()).Err())
	require.Equal(f, 1, f.there.Unstored())
}

// Nobody calls: another process would use the old token first.
func TestKeptTokensAreStoredByThemselves(t *testing.T) {
	f := setupFaulty(t)
	f.kept()
	require.Error(t, (<-f.ask()).Err())
	require.Equal(t, 1, strings.Count(f.log.String(), "level=ERROR"), "told once")
	f.proxy.Pass()
	require.Eventually(t, func() bool { return f.there.Unstored() == 0 }, patience, time.Millisecond)
	f.requireStored()
}

// Another process has used the old token meanwhile and could only find it refused.
func TestStoringLateEndsTheError(t *testing.T) {
	f := setupFaulty(t)
	f.kept()
	f.refusedElsewhere()
	require.Equal(t, accounts.InError, f.get(f.id).Status)
	require.False(t, f.credentials(f.id).IsActive)
	f.proxy.Pass()
	require.Eventually(t, func() bool { return f.there.Unstored() == 0 }, patience, time.Millisecond)
	require.Equal(t, []string{accounts.Active, ""}, []string{f.get(f.id).Status, f.get(f.id).ErrorMessage})
	got, err := f.call()
	require.NoError(t, err)
	require.Equal(t, f.credentials(f.id).AccessToken, got.AccessToken)
	require.NotEqual(t, f.access, got.AccessToken)
	require.Equal(t, 2, f.p.Calls(), "what was stored a moment ago answers")
}

// refusedElsewhere lets another process use the old token.
func (f *faulty) refusedElsewhere() {
	f.Helper()
	f.exec("UPDATE account_refreshes SET lease_expires_at = now()")
	f.p.Answer(testprovider.Rotates)
	f.accs.Hurry(0, time.Millisecond, 0)
	_, err := f.call()
	f.refused(err, map[string]any{"reason": "invalid_grant", "status": 400})
}

// An error that an operator has set is not the refresh's.
func TestStoringLateLeavesAnotherError(t *testing.T) {
	f := setupFaulty(t)
	f.kept()
	f.refusedElsewhere()
	require.NoError(t, f.accs.UpdateAccountStatus(f.ctx(), f.id, accounts.InError, accounts.StatusMetadata{ErrorMessage: "banned"}).Err())
	f.proxy.Pass()
	require.Eventually(t, func() bool { return f.there.Unstored() == 0 }, patience, time.Millisecond)
	require.NotEqual(t, f.access, f.credentials(f.id).AccessToken)
	require.Equal(t, []string{accounts.InError, "banned"}, []string{f.get(f.id).Status, f.get(f.id).ErrorMessage})
}

// The lease of whoever works on the account now stays its own.
func TestStoringLateTakesNoLease(t *testing.T) {
	f := setupFaulty(t)
	f.kept()
	f.exec("UPDATE account_refreshes SET holder = gen_random_uuid(), lease_expires_at = now() + interval '1 hour'")
	f.proxy.Pass()
	require.Eventually(t, func() bool { return f.there.Unstored() == 0 }, patience, time.Millisecond)
	require.Equal(t, 1, f.count("SELECT count(*) FROM account_refreshes WHERE lease_expires_at > now() AND failure = '' AND answers_until > now()"))
}

func TestCloseStoresWhatIsKept(t *testing.T) {
	f := setupFaulty(t)
	f.there.Hurry(0, 0, time.Millisecond)
	f.down()
	require.Error(t, (<-f.ask()).Err())
	f.proxy.Pass()
	require.NoError(t, f.client.Close(context.Background()))
	f.requireStored()
}

func TestCloseTellsWhatIsLost(t *testing.T) {
	f := setupFaulty(t)
	f.down()
	done := f.ask()
	require.Eventually(t, func() bool { return f.there.Unstored() == 1 }, patience, time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	err := f.there.Close(ctx)
	require.ErrorContains(t, err, "1 refreshes still running")
	require.ErrorContains(t, err, "the new tokens of 1 accounts could not be stored")
	require.Contains(t, f.log.String(), f.id)
	require.Error(t, (<-done).Err())

	// A successor lets the one go first whose answer may still come, then tries itself.
	require.Equal(t, 1, f.count("SELECT count(*) FROM account_refreshes WHERE lease_expires_at > now() + interval '20 seconds'"))
	f.exec("UPDATE account_refreshes SET lease_expires_at = now()")
	f.p.Answer(testprovider.Rotates)
	f.accs.Hurry(0, time.Millisecond, 0)
	_, err = f.call()
	f.refused(err, map[string]any{"reason": "invalid_grant", "status": 400})
	require.Contains(t, f.get(f.id).ErrorMessage, "the answer of an earlier refresh was lost")
}

// A database that was down longer than the lease: whoever waits for the account must
// not be faster than the one that holds its new tokens.
func TestSuccessorLetsTheHolderGoFirst(t *testing.T) {
	f := setupFaulty(t)
	f.down()
	done := f.ask()
	require.Eventually(t, func() bool { return f.there.Unstored() == 1 }, patience, time.Millisecond)
	f.exec("UPDATE account_refreshes SET lease_expires_at = now()")
	waiting := make(chan result.Result[accounts.Refreshed], 1)
	go func() { waiting <- f.accs.RefreshOAuthToken(f.ctx(), f.id) }()
	f.waits()
	f.proxy.Pass()
	first, err := (<-done).Get()
	require.NoError(t, err)
	second, err := (<-waiting).Get()
	require.NoError(t, err)
	require.Equal(t, first.AccessToken, second.AccessToken)
	f.requireStored()
}

// PostgreSQL down before the call: the provider is not called.
func TestDownBeforeTheCall(t *testing.T) {
	f := setupFaulty(t)
	f.proxy.Cut()
	require.ErrorIs(t, (<-f.ask()).Err(), result.ConnectionFailed)
	f.proxy.Pass()
	stalled := f.proxy.On(faultproxy.ToServer, "AccountRefreshIntend", faultproxy.StallBefore)
	done := f.ask()
	<-stalled
	f.proxy.Cut()
	require.ErrorIs(t, (<-done).Err(), result.ConnectionFailed)
	require.Zero(t, f.p.Calls())
	f.proxy.Pass()
	f.exec("UPDATE account_refreshes SET lease_expires_at = now()")
	require.NoError(t, (<-f.ask()).Err())
	f.requireStored()
}
