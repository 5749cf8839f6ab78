package accounts_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/testclient"
	"github.com/seed14a526e0/relaystore/repo/accounts"
	"github.com/seed14a526e0/relaystore/repo/result"
)

const patience = time.Minute

// The outbox hears of what GetCredentials keeps, and of nothing that changes with
// each request.
func TestOnlyChangesOfWhatIsCachedAreTold(t *testing.T) {
	b := setup(t, uncached)
	told := func(what string, want int, change func()) {
		t.Helper()
		b.exec("DELETE FROM cache_outbox")
		change()
		require.Equal(t, want, b.count("SELECT count(*) FROM cache_outbox WHERE kind = 'account' AND octet_length(key) = 32"), what)
		require.Equal(t, want, b.count("SELECT count(*) FROM cache_outbox"), what)
	}
	var id string
	told("create", 1, func() { id = b.createClaude() })
	status := func(s string, m accounts.StatusMetadata) func() { return func() { b.setStatus(id, s, m) } }
	sql := func(text string) func() { return func() { b.exec(text) } }
	told("touch", 0, status("active", accounts.StatusMetadata{LastRequestAt: passed}))
	told("limit", 0, status("rate_limited", accounts.StatusMetadata{RateLimitResetAt: ahead, TokensRemaining: tokens(1), ErrorMessage: "429"}))
	told("no limit", 0, status("active", accounts.StatusMetadata{}))
	told("inactive", 1, status("inactive", accounts.StatusMetadata{}))
	told("error", 0, status("error", accounts.StatusMetadata{}))
	told("active", 1, status("active", accounts.StatusMetadata{}))
	told("name", 0, sql("UPDATE accounts SET name = 'other', priority = 1, schedulable = false, description = 'd', details = '{}', updated_at = now()"))
	for _, change := range []string{
		"proxy_host = 'h'", "proxy_port = 9", "proxy_type = 'http'", "proxy_username = 'x'", "scopes = '{}'", "token_expires_at = NULL",
		"access_token = NULL", "refresh_token = NULL", "api_key = 'k'", "other_secrets = 'o'", "proxy_password = NULL", "platform = 'gemini'",
	} {
		told(change, 1, sql("UPDATE accounts SET "+change))
		told(change+" again", 0, sql("UPDATE accounts SET "+change))
	}
	told("credentials", 1, func() {
		require.NoError(t, b.accs.SetCredentials(b.ctx(), id, accounts.CredentialsPatch{APIKey: result.Set("k")}).Err())
	})
	told("delete", 1, func() { require.NoError(t, b.accs.DeleteAccount(b.ctx(), id).Err()) })
	told("restored by hand", 1, sql("UPDATE accounts SET deleted_at = NULL"))
	told("another id", 2, sql("UPDATE accounts SET id = gen_random_uuid()"))
	b.createClaude()
	told("two at once", 2, sql("UPDATE accounts SET proxy_type = 'http', proxy_port = 77, proxy_host = 'hh'"))
	told("removed", 2, sql("DELETE FROM accounts"))
}

// unheard changes an account in PostgreSQL alone, so that a test sees where an
// answer comes from.
func (b *bundle) unheard(set string) {
	b.Helper()
	b.exec("BEGIN; ALTER TABLE accounts DISABLE TRIGGER USER; UPDATE accounts SET " + set + "; ALTER TABLE accounts ENABLE TRIGGER USER; COMMIT")
}

// cached waits until an account's credentials come from the cache, and gives the
// user name that PostgreSQL has in the meantime.
func (b *bundle) cached(id string) (stored string) {
	b.Helper()
	n := 0
	require.Eventually(b, func() bool {
		before := b.credentials(id).ProxyConfig.Username
		n++
		stored = fmt.Sprint("user ", n)
		b.unheard("proxy_username = '" + stored + "'")
		return b.credentials(id).ProxyConfig.Username == before && before != stored
	}, patience, 10*time.Millisecond)
	return stored
}

func (b *bundle) username(id string) string { return b.credentials(id).ProxyConfig.Username }

func TestTouchesKeepWhatIsCached(t *testing.T) {
	b := setup(t)
	id := b.createClaude()
	var stored string
	require.Eventually(t, func() bool { // a cache that has lost its freshness tries again
		stored = b.cached(id)
		b.setStatus(id, "active", accounts.StatusMetadata{LastRequestAt: passed})
		b.setStatus(id, "rate_limited", accounts.StatusMetadata{RateLimitResetAt: ahead})
		return b.username(id) != stored
	}, patience, time.Millisecond)
	b.setStatus(id, "inactive", accounts.StatusMetadata{})
	require.Equal(t, stored, b.username(id))
	require.False(t, b.credentials(id).IsActive)
}

// The writer's own process never gives older credentials after its call.
func TestWritesAreSeenAtOnce(t *testing.T) {
	b := setup(t)
	id := b.createClaude()
	b.cached(id)
	for round := range 50 {
		key := fmt.Sprint("key ", round)
		require.NoError(t, b.accs.SetCredentials(b.ctx(), id, accounts.CredentialsPatch{APIKey: result.Set(key)}).Err())
		require.Equal(t, key, b.credentials(id).APIKey)
		require.Equal(t, key, b.credentials(id).APIKey)
	}
	require.NoError(t, b.accs.DeleteAccount(b.ctx(), id).Err())
	require.ErrorIs(t, b.accs.GetCredentials(b.ctx(), id).Err(), result.RecordNotFound)
}

// Another process hears of writes through the library and by hand.
func TestOtherProcessesHear(t *testing.T) {
	b := setup(t)
	other := testclient.Open(t, b.cfg)
	id := b.createClaude()
	sees := func(want func(accounts.Credentials) bool) {
		t.Helper()
		require.Eventually(t, func() bool {
			c, err := other.Accounts.GetCredentials(b.ctx(), id).Get()
			return err == nil && want(c)
		}, patience, time.Millisecond)
	}
	sees(func(c accounts.Credentials) bool { return c.IsActive })
	require.NoError(t, b.accs.SetCredentials(b.ctx(), id, accounts.CredentialsPatch{APIKey: result.Set("new")}).Err())
	sees(func(c accounts.Credentials) bool { return c.APIKey == "new" })
	b.exec("UPDATE accounts SET status = 'inactive'")
	sees(func(c accounts.Credentials) bool { return !c.IsActive })

	unknown := full(accounts.Claude)
	require.ErrorIs(t, other.Accounts.GetCredentials(b.ctx(), unknown.ID).Err(), result.RecordNotFound)
	id = b.create(unknown)
	sees(func(c accounts.Credentials) bool { return c.APIKey == unknown.APIKey })
}

// A caller that changes what it got changes nobody else's answer.
func TestAnswersAreTheCallersOwn(t *testing.T) {
	b := setup(t)
	id := b.createClaude()
	b.cached(id)
	c := b.credentials(id)
	c.Scopes[0], c.ProxyConfig.Host = "changed", "changed"
	require.Equal(t, "user:inference", b.credentials(id).Scopes[0])
	require.Equal(t, "proxy.example", b.credentials(id).ProxyConfig.Host)
}
