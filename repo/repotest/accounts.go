package repotest

import (
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/accounts"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/usage"
)

var accountTests = []test{
	{"CRUD", accountCRUD}, {"secrets", accountSecrets}, {"lists", accountLists}, {"availability", accountAvailability},
	{"concurrency", accountConcurrency}, {"errors", accountErrors},
}

// secretTests are of accounts that may have secrets.
var secretTests = []test{{"equals a model", accountModel}}

func ofAccounts(caps Capabilities) []test {
	if caps.Secrets {
		return append(slices.Clone(accountTests), secretTests...)
	}
	return accountTests
}

// account creates one without secrets.
func (b *bundle) account(data accounts.AccountData) string {
	b.Helper()
	if data.Name == "" {
		data.Name = "account"
	}
	if data.Platform == "" {
		data.Platform = accounts.Claude
	}
	return get(b, b.one.Accounts.CreateAccount(b.ctx(), data)).ID
}

func accountCRUD(b *bundle) {
	paused := false
	want := accounts.AccountData{
		ID: uuid.NewString(), Platform: accounts.ClaudeConsole, Name: "Konto ß", Description: "d", AccountType: "dedicated", Priority: 7, Schedulable: &paused,
		Details: accounts.Details{APIURL: "https://example.org", DailyQuota: result.MustMoney("12.5"), MaxConcurrentTasks: 3, UserAgent: "ua"},
	}
	require.Equal(b, want.ID, b.account(want))
	got := get(b, b.two.Accounts.GetAccount(b.ctx(), want.ID))
	require.Equal(b, []any{want.Platform, want.Name, "d", "dedicated", 7, false, accounts.Active},
		[]any{got.Platform, got.Name, got.Description, got.AccountType, got.Priority, got.Schedulable, got.Status})
	b.sameJSON(want.Details, got.Details)
	require.EqualValues(b, -1, got.RateLimitStatus.Remaining)
	require.ErrorIs(b, b.one.Accounts.GetClaudeAccount(b.ctx(), want.ID).Err(), result.RecordNotFound, "it is of another platform")

	remaining, used := int64(500), time.Now().Add(-time.Hour).UTC().Truncate(time.Second)
	require.NoError(b, b.one.Accounts.UpdateAccountStatus(b.ctx(), want.ID, accounts.RateLimited, accounts.StatusMetadata{
		RateLimitResetAt: used.Add(24 * time.Hour), LastRequestAt: used, TokensRemaining: &remaining,
	}).Err())
	b.flushed()
	got = get(b, b.one.Accounts.GetAccount(b.ctx(), want.ID))
	require.Equal(b, accounts.RateLimited, got.Status)
	require.True(b, got.LastUsedAt.Equal(used) && got.RateLimitStatus.ResetAt.Equal(used.Add(24*time.Hour)))
	require.Equal(b, remaining, got.RateLimitStatus.Remaining)
	require.NoError(b, b.one.Accounts.UpdateAccountStatus(b.ctx(), want.ID, accounts.InError, accounts.StatusMetadata{ErrorMessage: "why"}).Err())
	require.Equal(b, "why", get(b, b.one.Accounts.GetAccount(b.ctx(), want.ID)).ErrorMessage)

	require.NoError(b, b.one.Accounts.DeleteAccount(b.ctx(), want.ID).Err())
	for _, err := range []error{
		b.one.Accounts.GetAccount(b.ctx(), want.ID).Err(), b.one.Accounts.GetCredentials(b.ctx(), want.ID).Err(), b.one.Accounts.DeleteAccount(b.ctx(), want.ID).Err(),
		b.one.Accounts.UpdateAccountStatus(b.ctx(), want.ID, accounts.Active, accounts.StatusMetadata{}).Err(),
	} {
		require.ErrorIs(b, err, result.RecordNotFound)
	}
}

// accountSecrets come back from GetCredentials and from nowhere else.
func accountSecrets(b *bundle) {
	data := accounts.AccountData{
		Name: "secret", OAuthData: &accounts.OAuthData{AccessToken: "tok-a", RefreshToken: "tok-r", Scopes: []string{"s1", "s2"}, ExpiresAt: time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC)},
		ProxyConfig: &accounts.ProxyConfig{Type: "socks5", Host: "proxy.example", Port: 1080, Username: "u", Password: "p"},
	}
	created := b.one.Accounts.CreateClaudeAccount(b.ctx(), data)
	if !b.caps.Secrets {
		require.ErrorIs(b, created.Err(), result.InvalidQuery)
		return
	}
	id := get(b, created).ID
	for _, c := range b.clients() {
		got := get(b, c.Accounts.GetCredentials(b.ctx(), id))
		require.Equal(b, []any{true, "tok-a", "tok-r", []string{"s1", "s2"}}, []any{got.IsActive, got.AccessToken, got.RefreshToken, got.Scopes})
		require.Equal(b, "u:p@proxy.example", got.ProxyConfig.Username+":"+got.ProxyConfig.Password+"@"+got.ProxyConfig.Host)
	}
	require.Empty(b, get(b, b.one.Accounts.GetAccount(b.ctx(), id)).ProxyConfig.Password)

	require.NoError(b, b.one.Accounts.SetCredentials(b.ctx(), id, accounts.CredentialsPatch{
		OAuthData: result.Set(accounts.OAuthData{AccessToken: "tok-b"}), ProxyConfig: result.Null[accounts.ProxyConfig](),
	}).Err())
	got := get(b, b.one.Accounts.GetCredentials(b.ctx(), id))
	require.Equal(b, "tok-b", got.AccessToken)
	require.Nil(b, got.ProxyConfig)
	require.NoError(b, b.one.Accounts.UpdateAccountStatus(b.ctx(), id, accounts.Inactive, accounts.StatusMetadata{}).Err())
	require.False(b, get(b, b.one.Accounts.GetCredentials(b.ctx(), id)).IsActive, "read your writes")
	b.eventually(func() bool { return !get(b, b.two.Accounts.GetCredentials(b.ctx(), id)).IsActive }, "the other hears of it")
}

// accountLists has the platform droid for itself.
func accountLists(b *bundle) {
	var ids []string
	for range 5 {
		ids = append(ids, b.account(accounts.AccountData{Platform: accounts.Droid}))
	}
	require.NoError(b, b.one.Accounts.UpdateAccountStatus(b.ctx(), ids[1], accounts.Inactive, accounts.StatusMetadata{}).Err())
	list := func(f accounts.ListFilters) (out []int, p accounts.Page) {
		f.Platform = accounts.Droid
		p = get(b, b.two.Accounts.ListAccounts(b.ctx(), f))
		for _, a := range p.Accounts {
			if i := slices.Index(ids, a.ID); i >= 0 {
				out = append(out, i)
			}
		}
		return out, p
	}
	all, _ := list(accounts.ListFilters{})
	require.Equal(b, []int{4, 3, 2, 1, 0}, all, "the newest first")
	inactive, _ := list(accounts.ListFilters{Status: accounts.Inactive})
	require.Equal(b, []int{1}, inactive)
	some, page := list(accounts.ListFilters{Limit: 2, Offset: 2})
	require.Equal(b, []int{2, 1}, some)
	require.Equal(b, []int{2, (page.Total + 1) / 2}, []int{page.Page, page.TotalPages})
}

// accountAvailability has the platform ccr for itself.
func accountAvailability(b *bundle) {
	now, few := time.Now(), int64(10)
	status := func(id, status string, m accounts.StatusMetadata) {
		b.Helper()
		require.NoError(b, b.one.Accounts.UpdateAccountStatus(b.ctx(), id, status, m).Err())
	}
	paused := false
	late := b.account(accounts.AccountData{Platform: accounts.CCR, Priority: 60})
	used := b.account(accounts.AccountData{Platform: accounts.CCR})
	longAgo := b.account(accounts.AccountData{Platform: accounts.CCR})
	never := b.account(accounts.AccountData{Platform: accounts.CCR})
	limited := b.account(accounts.AccountData{Platform: accounts.CCR, Priority: 1})
	inactive := b.account(accounts.AccountData{Platform: accounts.CCR})
	b.account(accounts.AccountData{Platform: accounts.CCR, Schedulable: &paused})
	status(used, accounts.Active, accounts.StatusMetadata{LastRequestAt: now, TokensRemaining: &few, RateLimitResetAt: now.Add(time.Hour)})
	status(longAgo, accounts.Active, accounts.StatusMetadata{LastRequestAt: now.Add(-time.Hour)})
	status(limited, accounts.RateLimited, accounts.StatusMetadata{RateLimitResetAt: now.Add(time.Hour)})
	status(inactive, accounts.Inactive, accounts.StatusMetadata{})
	b.flushed()
	available := func(f accounts.AvailableFilters) (ids []string) {
		f.Platform = accounts.CCR
		for _, a := range get(b, b.two.Accounts.GetAvailableAccounts(b.ctx(), f)) {
			ids = append(ids, a.ID)
		}
		return ids
	}
	require.Equal(b, []string{never, longAgo, used, late}, available(accounts.AvailableFilters{}))
	require.Equal(b, []string{never, longAgo, late}, available(accounts.AvailableFilters{MinTokensRemaining: 11}), "unknown passes")
	require.Equal(b, []string{limited}, available(accounts.AvailableFilters{Status: accounts.RateLimited}))
	require.Equal(b, []string{never}, available(accounts.AvailableFilters{Limit: 1}))
	status(limited, accounts.RateLimited, accounts.StatusMetadata{RateLimitResetAt: time.Now().Add(time.Second)})
	b.flushed()
	b.eventually(func() bool { return available(accounts.AvailableFilters{})[0] == limited }, "its limit passes by the clock")
	require.NoError(b, b.one.Accounts.SetSchedulable(b.ctx(), never, false).Err())
	require.NotContains(b, available(accounts.AvailableFilters{}), never, "it is paused")
	require.NoError(b, b.one.Accounts.SetSchedulable(b.ctx(), never, true).Err())
	require.Contains(b, available(accounts.AvailableFilters{}), never)
}

func accountConcurrency(b *bundle) {
	id := uuid.NewString()
	lost := b.together(8, func(c *repo.Client, _ int) error {
		return c.Accounts.CreateAccount(b.ctx(), accounts.AccountData{ID: id, Platform: accounts.Claude, Name: "one"}).Err()
	})
	require.Equal(b, 7, b.failures(lost, result.DuplicateKey))
	last := time.Now().UTC().Truncate(time.Second)
	require.Zero(b, b.failures(b.together(8, func(c *repo.Client, i int) error {
		return c.Accounts.UpdateAccountStatus(b.ctx(), id, accounts.Active, accounts.StatusMetadata{LastRequestAt: last.Add(-time.Duration(i) * time.Minute)}).Err()
	}), ""))
	b.flushed()
	require.True(b, get(b, b.one.Accounts.GetAccount(b.ctx(), id)).LastUsedAt.Equal(last), "a last use never goes back")
	removed := b.together(8, func(c *repo.Client, _ int) error { return c.Accounts.DeleteAccount(b.ctx(), id).Err() })
	require.Equal(b, 7, b.failures(removed, result.RecordNotFound))
}

func accountErrors(b *bundle) {
	accs, ctx := b.one.Accounts, b.ctx()
	id, unknown := b.account(accounts.AccountData{}), uuid.NewString()
	for _, c := range []struct {
		err   error
		code  result.Code
		field string
	}{
		{accs.CreateAccount(ctx, accounts.AccountData{Platform: accounts.Claude}).Err(), result.InvalidQuery, "name"},
		{accs.CreateAccount(ctx, accounts.AccountData{Name: "a", Platform: "x"}).Err(), result.InvalidQuery, "platform"},
		{accs.CreateAccount(ctx, accounts.AccountData{Name: "a", Platform: accounts.Claude, Priority: 101}).Err(), result.InvalidQuery, "priority"},
		{accs.CreateAccount(ctx, accounts.AccountData{Name: "a", Platform: accounts.Claude, ID: id}).Err(), result.DuplicateKey, "id"},
		{accs.CreateClaudeAccount(ctx, accounts.AccountData{Name: "a"}).Err(), result.InvalidQuery, "oauthData"},
		{accs.GetAccount(ctx, "x").Err(), result.InvalidQuery, "accountId"},
		{accs.GetAccount(ctx, unknown).Err(), result.RecordNotFound, ""},
		{accs.GetCredentials(ctx, unknown).Err(), result.RecordNotFound, ""},
		{accs.UpdateAccountStatus(ctx, id, "x", accounts.StatusMetadata{}).Err(), result.InvalidQuery, "status"},
		{accs.UpdateAccountStatus(ctx, unknown, accounts.Active, accounts.StatusMetadata{}).Err(), result.RecordNotFound, ""},
		{accs.SetSchedulable(ctx, "x", true).Err(), result.InvalidQuery, "accountId"},
		{accs.SetSchedulable(ctx, unknown, true).Err(), result.RecordNotFound, ""},
		{accs.ListAccounts(ctx, accounts.ListFilters{Limit: -1}).Err(), result.InvalidQuery, "limit"},
		{accs.GetAvailableAccounts(ctx, accounts.AvailableFilters{Platform: "x"}).Err(), result.InvalidQuery, "platform"},
	} {
		b.refused(c.err, c.code, c.field)
	}
	b.cancelled(accs.GetAccount(b.gone(), id).Err())
	k := b.key(apikeys.KeyData{})
	b.record(usage.Record{APIKeyID: k.ID, AccountID: id, InputTokens: 2, TotalTokens: 5, RequestCount: 1, Cost: result.MustMoney("0.5")})
	b.eventually(func() bool { return get(b, accs.GetAccount(ctx, id)).UsageStats.TotalTokens == 5 }, "its sums of all time")
	require.Equal(b, b.caps.AccountCosts, get(b, accs.GetAccount(ctx, id)).UsageStats.TotalCost.Equal(result.MustMoney("0.5")))
}
