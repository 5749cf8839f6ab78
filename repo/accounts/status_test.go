package accounts_test

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/repo/accounts"
	"github.com/seed14a526e0/relaystore/repo/result"
)

func (b *bundle) setStatus(id, status string, m accounts.StatusMetadata) {
	b.Helper()
	require.NoError(b, b.accs.UpdateAccountStatus(b.ctx(), id, status, m).Err())
}

func tokens(n int64) *int64 { return &n }

var (
	passed = time.Now().Add(-time.Minute).UTC().Truncate(time.Millisecond)
	ahead  = time.Now().Add(time.Hour).UTC().Truncate(time.Millisecond)
)

func TestStatusAndMetadata(t *testing.T) {
	b := setup(t)
	id := b.createClaude()
	used := passed
	for _, step := range []struct {
		name, status string
		metadata     accounts.StatusMetadata
		message      string
		limit        accounts.RateLimitStatus
	}{
		{"limited", "rate_limited", accounts.StatusMetadata{RateLimitResetAt: ahead, TokensRemaining: tokens(0), LastRequestAt: used}, "", accounts.RateLimitStatus{ResetAt: ahead}},
		{"its window stays", "rate_limited", accounts.StatusMetadata{}, "", accounts.RateLimitStatus{ResetAt: ahead}},
		{"the limit is over", "active", accounts.StatusMetadata{}, "", accounts.RateLimitStatus{Remaining: -1}},
		{"tokens without an end", "active", accounts.StatusMetadata{TokensRemaining: tokens(7)}, "", accounts.RateLimitStatus{Remaining: 7}},
		{"a window", "active", accounts.StatusMetadata{RateLimitResetAt: ahead}, "", accounts.RateLimitStatus{Remaining: 7, ResetAt: ahead}},
		{"an error", "error", accounts.StatusMetadata{ErrorMessage: "refused"}, "refused", accounts.RateLimitStatus{Remaining: 7, ResetAt: ahead}},
		{"it keeps its reason", "error", accounts.StatusMetadata{}, "refused", accounts.RateLimitStatus{Remaining: 7, ResetAt: ahead}},
		{"a passed window", "inactive", accounts.StatusMetadata{RateLimitResetAt: passed}, "", accounts.RateLimitStatus{Remaining: -1, ResetAt: passed}},
		{"is forgotten", "inactive", accounts.StatusMetadata{}, "", accounts.RateLimitStatus{Remaining: -1}},
	} {
		b.setStatus(id, step.status, step.metadata)
		a := b.get(id)
		require.Equal(t, step.status, a.Status, step.name)
		require.Equal(t, step.message, a.ErrorMessage, step.name)
		require.Equal(t, step.limit, a.RateLimitStatus, step.name)
		require.Equal(t, used, a.LastUsedAt, step.name)
	}
	b.setStatus(id, "active", accounts.StatusMetadata{LastRequestAt: used.Add(-time.Hour)})
	require.Equal(t, used, b.get(id).LastUsedAt, "never backwards")
	require.ErrorIs(t, b.accs.UpdateAccountStatus(b.ctx(), unknownID, "active", accounts.StatusMetadata{}).Err(), result.RecordNotFound)
}

// A window that has passed frees a limited account without anybody's write.
func TestTokensOfAPassedWindowAreUnknown(t *testing.T) {
	b := setup(t)
	id := b.createClaude()
	b.setStatus(id, "rate_limited", accounts.StatusMetadata{RateLimitResetAt: ahead, TokensRemaining: tokens(0)})
	require.EqualValues(t, 0, b.get(id).RateLimitStatus.Remaining)
	b.exec("UPDATE accounts SET rate_limit_reset_at = $1", passed)
	require.EqualValues(t, -1, b.get(id).RateLimitStatus.Remaining)
	b.setStatus(id, "rate_limited", accounts.StatusMetadata{})
	require.Empty(t, b.available(accounts.AvailableFilters{}), "a new limit without an end does not take the end of the old one")
}

func TestDeleteIsSoftAndRemovesSecrets(t *testing.T) {
	b := setup(t)
	id := b.create(full(accounts.Claude))
	require.NoError(t, b.accs.GetCredentials(b.ctx(), id).Err())
	require.NoError(t, b.accs.DeleteAccount(b.ctx(), id).Err())
	require.ErrorIs(t, b.accs.GetCredentials(b.ctx(), id).Err(), result.RecordNotFound)
	require.ErrorIs(t, b.accs.GetAccount(b.ctx(), id).Err(), result.RecordNotFound)
	require.ErrorIs(t, b.accs.GetClaudeAccount(b.ctx(), id).Err(), result.RecordNotFound)
	require.ErrorIs(t, b.accs.DeleteAccount(b.ctx(), id).Err(), result.RecordNotFound)
	require.ErrorIs(t, b.accs.UpdateAccountStatus(b.ctx(), id, "active", accounts.StatusMetadata{}).Err(), result.RecordNotFound)
	require.ErrorIs(t, b.accs.SetCredentials(b.ctx(), id, accounts.CredentialsPatch{APIKey: result.Set("k")}).Err(), result.RecordNotFound)
	require.Empty(t, b.available(accounts.AvailableFilters{Status: "inactive"}))
	require.Equal(t, 1, b.count(`SELECT count(*) FROM accounts WHERE name = '爱丽丝 «π»' AND deleted_at IS NOT NULL
		AND num_nonnulls(access_token, refresh_token, api_key, other_secrets, proxy_password) = 0`))
}

// Of concurrent updates none is lost: the last use is the latest of all, and the
// cached record follows the last status.
func TestConcurrentStatuses(t *testing.T) {
	b := setup(t)
	id := b.createClaude()
	var group sync.WaitGroup
	errs := make([]error, 40)
	for i := range errs {
		group.Go(func() {
			at := passed.Add(time.Duration(i*7%40) * time.Second)
			errs[i] = b.accs.UpdateAccountStatus(b.ctx(), id, accounts.Statuses[i%4], accounts.StatusMetadata{LastRequestAt: at}).Err()
		})
	}
	group.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	a := b.get(id)
	require.Equal(t, passed.Add(39*time.Second), a.LastUsedAt)
	require.Equal(t, a.Status == accounts.Active || a.Status == accounts.RateLimited, b.credentials(id).IsActive)
}
