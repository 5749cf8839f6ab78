package repo_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/seal"
	"github.com/seed14a526e0/relaystore/internal/testclient"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/accounts"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/usage"
)

func setupAccounts(t *testing.T) *bundle {
	t.Helper()
	keys, err := seal.Generate()
	require.NoError(t, err)
	return setup(t, func(c *repo.Config) { c.Keyset, c.TokenRefresher = keys, goldenProvider{} })
}

func oauthOf(access string) *accounts.OAuthData {
	return &accounts.OAuthData{AccessToken: access, RefreshToken: "refresh", Scopes: []string{"s"}, ExpiresAt: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)}
}

func (b *bundle) account(c *repo.Client) string {
	b.Helper()
	a, err := c.Accounts.CreateClaudeAccount(b.Context(), accounts.AccountData{Name: "a", OAuthData: oauthOf("first")}).Get()
	require.NoError(b, err)
	return a.ID
}

func (b *bundle) credentials(c *repo.Client, id string) accounts.Credentials {
	b.Helper()
	got, err := c.Accounts.GetCredentials(b.Context(), id).Get()
	require.NoError(b, err)
	return got
}

func (b *bundle) setAccess(c *repo.Client, id, access string) {
	b.Helper()
	require.NoError(b, c.Accounts.SetCredentials(b.Context(), id, accounts.CredentialsPatch{OAuthData: result.Set(*oauthOf(access))}).Err())
}

// behind runs a statement that no trigger, and so no cache, hears of.
func (b *bundle) behind(sql string, args ...any) {
	b.Helper()
	require.NoError(b, pgx.BeginFunc(b.Context(), b.pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(b.Context(), "SET LOCAL session_replication_role = replica")
		if err == nil {
			_, err = tx.Exec(b.Context(), sql, args...)
		}
		return err
	}))
}

// accountCached tells whether a client answers without a look at PostgreSQL.
func (b *bundle) accountCached(c *repo.Client, id string) bool {
	b.Helper()
	return b.count("SELECT count(*) FROM accounts WHERE id = $1 AND scopes = $2", id, b.credentials(c, id).Scopes) == 0
}

// cacheAccount makes the clients answer for an account without a look at PostgreSQL.
func (b *bundle) cacheAccount(id string, clients ...*repo.Client) {
	b.Helper()
	for _, c := range clients {
		require.Eventually(b, func() bool {
			b.credentials(c, id)
			b.behind("UPDATE accounts SET scopes = ARRAY[gen_random_uuid()::text] WHERE id = $1", id)
			return b.accountCached(c, id)
		}, time.Minute, time.Millisecond)
	}
}

// Credentials inside are the transaction's, and stay inside until the commit.
func TestTransactionsAndAccounts(t *testing.T) {
	b := setupAccounts(t)
	other := testclient.Open(t, b.cfg)
	id := b.account(b.Client)
	b.cacheAccount(id, b.Client, other)
	for _, commit := range []bool{false, true} {
		tx := b.begin(repo.TxOptions{})
		b.setAccess(tx.Client, id, "second")
		require.NoError(t, tx.Client.Accounts.UpdateAccountStatus(t.Context(), id, accounts.Inactive, accounts.StatusMetadata{}).Err())
		for range 3 {
			inside := b.credentials(tx.Client, id)
			require.Equal(t, "second", inside.AccessToken)
			require.False(t, inside.IsActive)
			for _, c := range []*repo.Client{b.Client, other} {
				outside := b.credentials(c, id)
				require.Equal(t, "first", outside.AccessToken)
				require.True(t, outside.IsActive)
			}
		}
		got, err := tx.Client.Accounts.GetClaudeAccount(t.Context(), id).Get()
		require.NoError(t, err)
		require.Equal(t, accounts.Inactive, got.Status)
		require.True(t, b.accountCached(b.Client, id), "nothing is told before the commit")
		if !commit {
			require.NoError(t, b.Transactions.RollbackTransaction(t.Context(), tx.TransactionID).Err())
			require.True(t, b.accountCached(b.Client, id))
			continue
		}
		b.commit(tx)
		require.Equal(t, "second", b.credentials(b.Client, id).AccessToken, "at once in this process")
		require.False(t, b.credentials(b.Client, id).IsActive)
		require.Eventually(t, func() bool { return b.credentials(other, id).AccessToken == "second" }, time.Minute, time.Millisecond)
	}
}

// An account of a transaction is known to nobody before the commit, although it is
// asked for, and to everybody after it; deleted in one, it is gone at its commit.
func TestTransactionsAndUnknownAccounts(t *testing.T) {
	b := setupAccounts(t)
	tx := b.begin(repo.TxOptions{})
	id := b.account(tx.Client)
	require.Equal(t, "first", b.credentials(tx.Client, id).AccessToken)
	require.ErrorIs(t, b.Accounts.GetCredentials(t.Context(), id).Err(), result.RecordNotFound)
	available, err := tx.Client.Accounts.GetAvailableAccounts(t.Context(), accounts.AvailableFilters{}).Get()
	require.NoError(t, err)
	require.Len(t, available, 1)
	b.commit(tx)
	require.Equal(t, "first", b.credentials(b.Client, id).AccessToken)

	b.cacheAccount(id, b.Client)
	tx = b.begin(repo.TxOptions{})
	require.NoError(t, tx.Client.Accounts.DeleteAccount(t.Context(), id).Err())
	require.ErrorIs(t, tx.Client.Accounts.GetCredentials(t.Context(), id).Err(), result.RecordNotFound)
	require.Equal(t, "first", b.credentials(b.Client, id).AccessToken)
	b.commit(tx)
	require.ErrorIs(t, b.Accounts.GetCredentials(t.Context(), id).Err(), result.RecordNotFound)
}

// An account's usage inside has the transaction's records.
func TestTransactionsAndAccountUsage(t *testing.T) {
	b := setupAccounts(t)
	id := b.account(b.Client)
	tx := b.begin(repo.TxOptions{})
	rec := record(b.key(tx.Client, apikeys.KeyData{}).ID)
	rec.AccountID = id
	require.NoError(t, tx.Client.Usage.RecordUsage(t.Context(), rec).Err())
	requests := func(c *repo.Client) int64 {
		a, err := c.Accounts.GetClaudeAccount(t.Context(), id).Get()
		require.NoError(t, err)
		return a.UsageStats.TotalRequests
	}
	require.EqualValues(t, 1, requests(tx.Client))
	require.Zero(t, requests(b.Client))
	b.commit(tx)
	require.EqualValues(t, 1, requests(b.Client))
}

// A token that a provider has exchanged is stored whatever becomes of the transaction.
func TestTransactionsAndRefreshes(t *testing.T) {
	b := setupAccounts(t)
	id := b.account(b.Client)
	require.NoError(t, b.Transactions.InTransaction(t.Context(), repo.TxOptions{}, func(c *repo.Client) error {
		return c.Transactions.InTransaction(t.Context(), repo.TxOptions{}, func(*repo.Client) error { return nil })
	}))
	tx := b.begin(repo.TxOptions{})
	got, err := tx.Client.Accounts.RefreshOAuthToken(t.Context(), id).Get()
	require.NoError(t, err)
	require.Equal(t, "access-2", got.AccessToken)
	require.Equal(t, "access-2", b.credentials(tx.Client, id).AccessToken)
	require.NoError(t, b.Transactions.RollbackTransaction(t.Context(), tx.TransactionID).Err())
	require.Equal(t, "access-2", b.credentials(b.Client, id).AccessToken)

	tx = b.begin(repo.TxOptions{})
	created := b.account(tx.Client)
	for range 2 {
		err = tx.Client.Accounts.RefreshOAuthToken(t.Context(), created).Err()
		requireRefused(t, err, "accountId")
	}
	require.NoError(t, tx.Client.Transactions.InTransaction(t.Context(), repo.TxOptions{}, func(c *repo.Client) error {
		b.setAccess(c, id, "mine")
		requireRefused(t, c.Accounts.RefreshOAuthToken(t.Context(), id).Err(), "accountId")
		return nil
	}))
	requireRefused(t, tx.Client.Accounts.RefreshOAuthToken(t.Context(), id).Err(), "accountId")
	require.NoError(t, tx.Client.Accounts.Close(t.Context()), "which ends nothing")
	b.commit(tx)
	require.NoError(t, b.Accounts.RefreshOAuthToken(t.Context(), created).Err())
}

// What needs many transactions is refused inside one, which goes on.
func TestTransactionsRefuseWhatIsMany(t *testing.T) {
	b := setupAccounts(t)
	tx := b.begin(repo.TxOptions{})
	_, reseal := tx.Client.Accounts.Reseal(t.Context(), nil)
	_, verify := tx.Client.Usage.Verify(t.Context(), usage.VerifyOptions{})
	for _, err := range []error{
		reseal, verify,
		tx.Client.Usage.CleanupOldStats(t.Context(), 30).Err(),
		tx.Client.Usage.Cleanup(t.Context(), usage.CleanupOptions{RetentionDays: 30}).Err(),
	} {
		require.ErrorIs(t, err, result.InvalidQuery)
		require.ErrorContains(t, err, "does not work inside one")
	}
	b.key(tx.Client, apikeys.KeyData{})
	b.commit(tx)
	require.NoError(t, b.Usage.CleanupOldStats(t.Context(), 30).Err())
}

// After its end a transaction's client does nothing, in any of its repos.
func TestTransactionIsClosedForEveryRepo(t *testing.T) {
	b := setupAccounts(t)
	id, token, k := b.account(b.Client), b.session(b.Client, "u"), b.key(b.Client, apikeys.KeyData{})
	tx := b.begin(repo.TxOptions{})
	require.NoError(t, tx.Client.Close(t.Context()))
	c, ctx := tx.Client, t.Context()
	for i, err := range []error{
		c.Accounts.GetCredentials(ctx, id).Err(),
		c.Accounts.GetClaudeAccount(ctx, id).Err(),
		c.Accounts.RefreshOAuthToken(ctx, id).Err(),
		c.Accounts.DeleteAccount(ctx, id).Err(),
		c.Sessions.ValidateSession(ctx, token).Err(),
		c.Sessions.DeleteSession(ctx, token).Err(),
		c.Sessions.CleanupExpiredSessions(ctx).Err(),
		c.Usage.RecordUsage(ctx, record(k.ID)).Err(),
		c.Usage.RecordUsageBatch(ctx, []usage.Record{record(k.ID)})[0].Err(),
		c.Usage.GetUsageStats(ctx, allTime()).Err(),
		c.APIKeys.ValidateAPIKey(ctx, k.HashedKey).Err(),
	} {
		require.ErrorIs(t, err, result.TransactionClosed, i)
	}
	require.Equal(t, "first", b.credentials(b.Client, id).AccessToken)
	require.NoError(t, b.Sessions.ValidateSession(ctx, token).Err())
	require.Zero(t, b.requests(b.Client))
}
