package accounts_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/testprovider"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/accounts"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// everywhere lets callers of three processes ask at once and gives all answers.
func (r *refreshing) everywhere(callers int) (all []result.Result[accounts.Refreshed]) {
	r.Helper()
	repos := []*accounts.Repo{r.accs, r.another(), r.another()}
	all = make([]result.Result[accounts.Refreshed], len(repos)*callers)
	var running sync.WaitGroup
	for i := range all {
		running.Go(func() { all[i] = repos[i%len(repos)].RefreshOAuthToken(r.ctx(), r.id) })
	}
	running.Wait()
	return all
}

// A failing provider is called once, and all callers of all processes hear why.
func TestFailuresAreShared(t *testing.T) {
	for name, c := range map[string]struct {
		answer  testprovider.Answer
		details map[string]any
		status  string
	}{
		"400":     {testprovider.Says(400, `{"error":"invalid_scope"}`), map[string]any{"reason": "invalid_scope", "status": 400}, accounts.Active},
		"429":     {testprovider.Says(429, "", "Retry-After", "100"), map[string]any{"reason": "rate_limited", "status": 429, "retryAfterSeconds": int64(100)}, accounts.Active},
		"500":     {testprovider.Says(500, "sk-refresh-x"), map[string]any{"reason": "unavailable", "status": 500}, accounts.Active},
		"garbage": {testprovider.Says(200, "sk-refresh-x"), map[string]any{"reason": "malformed", "status": 200}, accounts.Active},
		"slow":    {testprovider.Stalls, map[string]any{"reason": "timeout"}, accounts.Active},
		"grant":   {testprovider.Says(400, `{"error":"invalid_grant"}`), map[string]any{"reason": "invalid_grant", "status": 400}, accounts.InError},
	} {
		t.Run(name, func(t *testing.T) {
			r := setupRefresh(t)
			r.accs.Hurry(time.Second, 0, 0)
			r.p.Answer(c.answer)
			_, err := r.call()
			r.refused(err, c.details)
			for _, a := range r.everywhere(20) {
				got := result.From(a.Err())
				if got.Details["retryAfterSeconds"] != nil { // it runs down
					require.LessOrEqual(t, got.Details["retryAfterSeconds"], int64(100))
					got = got.With("retryAfterSeconds", int64(100))
				}
				r.refused(got, c.details)
				require.NotContains(t, marshal(t, a), "sk-")
			}
			require.Equal(t, 1, r.p.Calls())
			require.Equal(t, c.status, r.get(r.id).Status)
			require.Equal(t, r.access, r.credentials(r.id).AccessToken)
			require.NotContains(t, r.log.String(), "sk-")

			r.expire()
			r.p.Answer(testprovider.Rotates)
			r.mustCall()
			require.Equal(t, accounts.Active, r.get(r.id).Status, "what was refused is refuted")
		})
	}
}

func TestCallersAtOnce(t *testing.T) {
	r := setupRefresh(t)
	tokens := make(map[string]int)
	for _, a := range r.everywhere(20) {
		got, err := a.Get()
		require.NoError(t, err)
		tokens[got.AccessToken]++
	}
	require.Len(t, tokens, 1)
	require.Equal(t, 1, r.p.Calls())
}

// For as long as the provider said, and not for ever.
func TestRetryAfterIsKept(t *testing.T) {
	r := setupRefresh(t)
	answers := func() (seconds int) {
		return r.count("SELECT extract(epoch FROM answers_until - finished_at)::int FROM account_refreshes")
	}
	for after, want := range map[string]int{"0": 10, "60": 60, "86400": 300} {
		r.p.Answer(testprovider.Says(429, "", "Retry-After", after))
		_, err := r.call()
		require.ErrorIs(t, err, result.UpstreamRefreshFailed)
		require.Equal(t, want, answers())
		r.expire()
	}
	r.p.Answer(testprovider.Rotates)
	r.mustCall()
	require.Equal(t, 10, answers())
}

func TestInvalidGrantMarksTheAccount(t *testing.T) {
	r := setupRefresh(t)
	require.Equal(t, r.access, r.credentials(r.id).AccessToken)
	r.p.Answer(testprovider.Says(400, `{"error":"invalid_grant","error_description":"sk-refresh-x"}`))
	_, err := r.call()
	r.refused(err, map[string]any{"reason": "invalid_grant", "status": 400})
	a := r.get(r.id)
	require.Equal(t, accounts.InError, a.Status)
	require.Contains(t, a.ErrorMessage, "authorise the account anew")
	require.NotContains(t, a.ErrorMessage, "lost")
	require.False(t, r.credentials(r.id).IsActive, "a cached copy is gone, too")
	require.Contains(t, r.log.String(), "must be authorised anew")
	require.Contains(t, r.log.String(), r.id)

	access, refresh := r.p.Authorise()
	r.patch(accounts.CredentialsPatch{OAuthData: result.Set(accounts.OAuthData{AccessToken: access, RefreshToken: refresh})})
	require.Equal(t, accounts.Active, r.get(r.id).Status)
	r.p.Answer(testprovider.Rotates)
	r.mustCall() // the failure was of other credentials
}

// New credentials would activate an account in error: a pause must outlive that.
func TestInvalidGrantLeavesAPauseAlone(t *testing.T) {
	r := setupRefresh(t)
	require.NoError(t, r.accs.UpdateAccountStatus(r.ctx(), r.id, accounts.Inactive, accounts.StatusMetadata{ErrorMessage: "holidays"}).Err())
	r.p.Answer(testprovider.Says(400, `{"error":"invalid_grant"}`))
	_, err := r.call()
	r.refused(err, map[string]any{"reason": "invalid_grant", "status": 400})
	a := r.get(r.id)
	require.Equal(t, []string{accounts.Inactive, "holidays"}, []string{a.Status, a.ErrorMessage})
}

// Each way to lose an answer that the provider has perhaps given leaves the intent.
func TestLostAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		answer testprovider.Answer
		lost   bool
	}{
		"cut":     {testprovider.RotatesAndCuts, true},
		"timeout": {testprovider.RotatesAndStalls, true},
		"garbage": {testprovider.RotatesAndSays(200, "<html>"), true},
		"500":     {testprovider.RotatesAndSays(500, ""), true},
		"429":     {testprovider.RotatesAndSays(429, ""), false}, // which is not honest
	} {
		t.Run(name, func(t *testing.T) {
			r := setupRefresh(t)
			r.accs.Hurry(2*time.Second, 0, 0)
			r.p.Answer(c.answer)
			_, err := r.call()
			require.ErrorIs(t, err, result.UpstreamRefreshFailed)
			require.Equal(t, accounts.Active, r.get(r.id).Status, "nobody knows yet")

			r.expire()
			r.p.Answer(testprovider.Says(429, "")) // says nothing of the token
			_, err = r.call()
			r.refused(err, map[string]any{"reason": "rate_limited", "status": 429})
			require.Equal(t, accounts.Active, r.get(r.id).Status)

			r.expire()
			r.p.Answer(testprovider.Rotates)
			_, err = r.call()
			r.refused(err, map[string]any{"reason": "invalid_grant", "status": 400})
			a := r.get(r.id)
			require.Equal(t, accounts.InError, a.Status)
			require.Equal(t, c.lost, strings.Contains(a.ErrorMessage, "answer of an earlier refresh was lost"), a.ErrorMessage)
		})
	}
}

func TestDownProviderHasNotSeenTheToken(t *testing.T) {
	r := setupRefresh(t)
	r.p.Close()
	_, err := r.call()
	r.refused(err, map[string]any{"reason": "unavailable"})
	require.Equal(t, 1, r.count("SELECT count(*) FROM account_refreshes WHERE intent_at IS NULL AND failure = 'unavailable'"))
}

// A process that comes to itself after its lease has ended does not call any more.
func TestStalledBeforeTheCall(t *testing.T) {
	r := setupRefresh(t, func(c *repo.Config) {
		c.OAuth = nil
		c.TokenRefresher = refresherFunc(func(accounts.RefreshRequest) (accounts.Tokens, error) { panic("called") })
	})
	r.accs.Hurry(time.Hour, 0, 0) // longer than the lease
	_, err := r.call()
	r.refused(err, map[string]any{"reason": "stalled"})
	require.Equal(t, 1, r.count("SELECT count(*) FROM account_refreshes WHERE intent_at IS NULL"))
}

// Another process has taken the lease of one that was silent too long. Each stores
// what it is given, and the account's last word is the provider's last one.
func TestLeaseIsTakenOver(t *testing.T) {
	r := setupRefresh(t)
	other := r.another()
	other.Hurry(0, time.Nanosecond, 0)
	got, err := r.during(testprovider.Says(500, ""), func() {
		r.exec("UPDATE account_refreshes SET lease_expires_at = now() - interval '1 microsecond'")
		r.p.Answer(testprovider.Rotates)
		require.NoError(t, other.RefreshOAuthToken(r.ctx(), r.id).Err())
	})
	require.NoError(t, err, "the other one's token is there")
	require.True(t, r.p.Works(got.AccessToken))
	require.Equal(t, accounts.Active, r.get(r.id).Status)

	r.expire()
	slow, err := r.during(testprovider.Rotates, func() {
		r.exec("UPDATE account_refreshes SET lease_expires_at = now() - interval '1 microsecond'")
		r.p.Answer(testprovider.Says(500, ""))
		require.ErrorIs(t, other.RefreshOAuthToken(r.ctx(), r.id).Err(), result.UpstreamRefreshFailed)
	})
	require.NoError(t, err)
	require.True(t, r.p.Works(slow.AccessToken))
	require.Equal(t, slow.AccessToken, r.credentials(r.id).AccessToken)
}

func TestCloseEndsTheWaiting(t *testing.T) {
	r := setupRefresh(t)
	other, err := repo.Open(r.ctx(), r.cfg)
	require.NoError(t, err)
	_, err = r.during(testprovider.Rotates, func() {
		waiting := make(chan error, 1)
		go func() { waiting <- other.Accounts.RefreshOAuthToken(r.ctx(), r.id).Err() }()
		require.NoError(t, other.Close(context.Background()))
		require.ErrorIs(t, <-waiting, result.ConnectionFailed)
	})
	require.NoError(t, err)
	require.ErrorIs(t, other.Accounts.RefreshOAuthToken(r.ctx(), r.id).Err(), result.ConnectionFailed)
}

// Close waits for what the provider has perhaps exchanged already.
func TestCloseWaitsForTheAnswer(t *testing.T) {
	r := setupRefresh(t)
	other, err := repo.Open(r.ctx(), r.cfg)
	require.NoError(t, err)
	until := make(chan struct{})
	r.p.Answer(testprovider.Waits(until, testprovider.Rotates))
	asked := make(chan error, 1)
	go func() { asked <- other.Accounts.RefreshOAuthToken(r.ctx(), r.id).Err() }()
	r.called(1)
	closed := make(chan error, 1)
	go func() { closed <- other.Close(context.Background()) }()
	require.Eventually(t, func() bool { // a new one is refused
		return errors.Is(other.Accounts.RefreshOAuthToken(r.ctx(), unknownID).Err(), result.ConnectionFailed)
	}, patience, time.Millisecond)
	require.Empty(t, closed)
	close(until)
	require.NoError(t, <-closed)
	require.NoError(t, <-asked)
	require.True(t, r.p.Works(r.credentials(r.id).AccessToken))
}

func TestCloseSaysWhatStillRuns(t *testing.T) {
	r := setupRefresh(t)
	other, err := repo.Open(r.ctx(), r.cfg)
	require.NoError(t, err)
	r.p.Answer(testprovider.Stalls)
	asked := make(chan error, 1)
	go func() { asked <- other.Accounts.RefreshOAuthToken(r.ctx(), r.id).Err() }()
	r.called(1)
	ctx, cancel := context.WithTimeout(r.ctx(), 10*time.Millisecond)
	defer cancel()
	require.ErrorContains(t, other.Accounts.Close(ctx), "1 refreshes still running")
	require.Error(t, <-asked)
	require.NoError(t, other.Close(context.Background()))
}
