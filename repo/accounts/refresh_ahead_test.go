package accounts_test

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/testprovider"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/accounts"
)

func halfAnHourAhead(c *repo.Config) { c.RefreshAhead = 30 * time.Minute }

func (r *refreshing) expires(id string, in string) {
	r.Helper()
	r.exec("UPDATE accounts SET token_expires_at = now() + $2::text::interval WHERE id = $1", id, in)
}

func TestAheadTakesWhatExpiresSoon(t *testing.T) {
	r := setupRefresh(t, halfAnHourAhead)
	soon, late, paused, failed, unknown, without := r.id, "", "", "", "", ""
	for _, id := range []*string{&late, &paused, &failed, &unknown, &without} {
		*id, _, _ = r.authorise()
	}
	r.expires(soon, "29 minutes")
	r.expires(late, "31 minutes")
	require.NoError(t, r.accs.UpdateAccountStatus(t.Context(), paused, accounts.Inactive, accounts.StatusMetadata{}).Err())
	require.NoError(t, r.accs.UpdateAccountStatus(t.Context(), failed, accounts.InError, accounts.StatusMetadata{}).Err())
	r.exec("UPDATE accounts SET token_expires_at = NULL WHERE id = $1", unknown)
	r.exec("UPDATE accounts SET refresh_token = NULL WHERE id = $1", without)
	before := r.credentials(late).AccessToken

	r.accs.RefreshDue(t.Context())
	require.Equal(t, 1, r.p.Calls())
	require.True(t, r.p.Works(r.credentials(soon).AccessToken))
	require.NotEqual(t, r.access, r.credentials(soon).AccessToken)
	require.Equal(t, before, r.credentials(late).AccessToken)

	r.expire()
	r.accs.RefreshDue(t.Context())
	require.Equal(t, 1, r.p.Calls(), "the new one lives for an hour")
}

// It goes by itself.
func TestAheadRuns(t *testing.T) {
	r := setupRefresh(t, func(c *repo.Config) { c.RefreshAhead = time.Second })
	require.Eventually(t, func() bool {
		return r.p.Works(r.credentials(r.id).AccessToken) && r.credentials(r.id).AccessToken != r.access
	}, patience, time.Millisecond)
}

// Processes whose lists are the same call once an account.
func TestAheadInManyProcesses(t *testing.T) {
	r := setupRefresh(t, halfAnHourAhead)
	r.exec("DELETE FROM accounts")
	for range 10 {
		r.authorise()
	}
	var running sync.WaitGroup
	for _, repo := range []*accounts.Repo{r.accs, r.another(), r.another()} {
		running.Go(func() { repo.RefreshDue(t.Context()) })
	}
	running.Wait()
	require.Equal(t, 10, r.p.Calls())
	require.Zero(t, r.p.Reused())
}

// Another process has done it since the list was read.
func TestAheadLooksAgain(t *testing.T) {
	r := setupRefresh(t, halfAnHourAhead)
	got, err := r.during(testprovider.Rotates, func() {})
	require.NoError(t, err)
	r.expire()
	again, err := r.accs.RefreshAccountAhead(t.Context(), r.id)
	require.NoError(t, err)
	require.Equal(t, got.AccessToken, again.AccessToken)
	require.Equal(t, 1, r.p.Calls())
}

// One that fails is left alone for a while, is told in one line, and hurts no other.
func TestAheadGoesPastFailures(t *testing.T) {
	r := setupRefresh(t, halfAnHourAhead)
	r.p.Answer(testprovider.Says(500, ""))
	r.accs.RefreshDue(t.Context())
	require.Equal(t, 1, r.p.Calls())
	require.Contains(t, r.log.String(), "tokens could not be refreshed ahead of their expiry\" failed=1 of=1")
	r.expire()
	r.p.Answer(testprovider.Rotates)
	other, _, _ := r.authorise()
	r.accs.RefreshDue(t.Context())
	require.Equal(t, 2, r.p.Calls())
	require.True(t, r.p.Works(r.credentials(other).AccessToken))
	r.exec("UPDATE account_refreshes SET finished_at = now() - interval '8 minutes'")
	r.expire()
	r.accs.RefreshDue(t.Context())
	require.Equal(t, 3, r.p.Calls())
	require.NotEqual(t, r.access, r.credentials(r.id).AccessToken)
}
