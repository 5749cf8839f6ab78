package accounts_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/repo/accounts"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/usage"
)

// available gives the names of the accounts that GetAvailableAccounts lists.
func (b *bundle) available(f accounts.AvailableFilters) (names []string) {
	b.Helper()
	list, err := b.accs.GetAvailableAccounts(b.ctx(), f).Get()
	require.NoError(b, err)
	for _, a := range list {
		names = append(names, a.Name)
	}
	return names
}

// state gives an account a name after what it is.
func (b *bundle) state(name, status string, m accounts.StatusMetadata, change ...func(*accounts.AccountData)) {
	b.Helper()
	data := accounts.AccountData{Platform: accounts.Claude, Name: name}
	for _, c := range change {
		c(&data)
	}
	b.setStatus(b.create(data), status, m)
}

func TestAvailableByEachFilter(t *testing.T) {
	b := setup(t)
	type meta = accounts.StatusMetadata
	b.state("active", "active", meta{})
	b.state("active, 0 left", "active", meta{TokensRemaining: tokens(0), RateLimitResetAt: ahead})
	b.state("active, 100 left", "active", meta{TokensRemaining: tokens(100)})
	b.state("active, 0 before its reset", "active", meta{TokensRemaining: tokens(0), RateLimitResetAt: passed})
	b.state("inactive", "inactive", meta{})
	b.state("error", "error", meta{})
	b.state("limited", "rate_limited", meta{RateLimitResetAt: ahead, TokensRemaining: tokens(500)})
	b.state("limited for ever", "rate_limited", meta{})
	b.state("limit passed", "rate_limited", meta{RateLimitResetAt: passed, TokensRemaining: tokens(0)})
	no := false
	b.state("paused", "active", meta{}, func(d *accounts.AccountData) { d.Schedulable = &no })
	b.state("gemini", "active", meta{}, func(d *accounts.AccountData) { d.Platform = accounts.Gemini })

	free := []string{"active", "active, 100 left", "active, 0 before its reset", "limit passed"}
	yes := true
	for name, c := range map[string]struct {
		filters accounts.AvailableFilters
		want    []string
	}{
		"none":                 {accounts.AvailableFilters{}, append(slices.Clone(free), "active, 0 left")},
		"with a rate":          {accounts.AvailableFilters{RateLimitAvailable: &yes}, free},
		"without a rate":       {accounts.AvailableFilters{RateLimitAvailable: &no}, []string{"active, 0 left"}},
		"tokens":               {accounts.AvailableFilters{MinTokensRemaining: 100}, free},
		"more tokens":          {accounts.AvailableFilters{MinTokensRemaining: 101}, []string{"active", "active, 0 before its reset", "limit passed"}},
		"status limited":       {accounts.AvailableFilters{Status: "rate_limited"}, []string{"limited", "limited for ever", "limit passed"}},
		"limited with a rate":  {accounts.AvailableFilters{Status: "rate_limited", RateLimitAvailable: &yes}, []string{"limit passed"}},
		"limited without":      {accounts.AvailableFilters{Status: "rate_limited", RateLimitAvailable: &no}, []string{"limited", "limited for ever"}},
		"limited with tokens":  {accounts.AvailableFilters{Status: "rate_limited", MinTokensRemaining: 501}, []string{"limited for ever", "limit passed"}},
		"status inactive":      {accounts.AvailableFilters{Status: "inactive"}, []string{"inactive"}},
		"status error":         {accounts.AvailableFilters{Status: "error"}, []string{"error"}},
		"status active":        {accounts.AvailableFilters{Status: "active"}, []string{"active", "active, 0 left", "active, 100 left", "active, 0 before its reset", "paused"}},
		"platform":             {accounts.AvailableFilters{Platform: accounts.Gemini}, []string{"gemini"}},
		"platform without any": {accounts.AvailableFilters{Platform: accounts.Bedrock}, nil},
	} {
		require.ElementsMatch(t, c.want, b.available(c.filters), name)
	}
	list, err := b.accs.GetAvailableAccounts(b.ctx(), accounts.AvailableFilters{Platform: accounts.Bedrock}).Get()
	require.NoError(t, err)
	require.Equal(t, "[]", marshal(t, list))
}

func TestAvailableInASchedulersOrder(t *testing.T) {
	b := setup(t)
	used := func(ago time.Duration) accounts.StatusMetadata {
		return accounts.StatusMetadata{LastRequestAt: time.Now().Add(-ago)}
	}
	as := func(priority int, id string) func(*accounts.AccountData) {
		return func(d *accounts.AccountData) { d.Priority, d.ID = priority, id }
	}
	tie := passed
	b.state("6 last", "active", used(0), as(90, ""))
	b.state("5 tie b", "active", accounts.StatusMetadata{LastRequestAt: tie}, as(20, "bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb"))
	b.state("4 tie a", "active", accounts.StatusMetadata{LastRequestAt: tie}, as(20, "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa"))
	b.state("3 longest ago", "active", used(time.Hour), as(20, ""))
	b.state("2 never", "active", accounts.StatusMetadata{}, as(20, ""))
	b.state("1 first", "active", used(0), as(1, ""))
	require.Equal(t, []string{"1 first", "2 never", "3 longest ago", "4 tie a", "5 tie b", "6 last"}, b.available(accounts.AvailableFilters{}))
	require.Equal(t, []string{"1 first", "2 never"}, b.available(accounts.AvailableFilters{Limit: 2}))
}

func TestListAccounts(t *testing.T) {
	b := setup(t)
	var ids []string
	for i := range 5 {
		d := accounts.AccountData{Platform: accounts.Platforms[i], Name: strconv.Itoa(i)}
		ids = append(ids, b.create(d))
		b.exec("UPDATE accounts SET created_at = $2 WHERE id = $1", ids[i], passed.Add(time.Duration(i)*time.Second))
	}
	b.setStatus(ids[1], "error", accounts.StatusMetadata{})
	require.NoError(t, b.accs.DeleteAccount(b.ctx(), ids[2]).Err())
	list := func(f accounts.ListFilters) (names []string, p accounts.Page) {
		p, err := b.accs.ListAccounts(b.ctx(), f).Get()
		require.NoError(t, err)
		for _, a := range p.Accounts {
			names = append(names, a.Name)
		}
		return names, p
	}
	names, p := list(accounts.ListFilters{})
	require.Equal(t, []string{"4", "3", "1", "0"}, names)
	require.Equal(t, []int{4, 1, 1}, []int{p.Total, p.Page, p.TotalPages})
	names, p = list(accounts.ListFilters{Limit: 3, Offset: 3})
	require.Equal(t, []string{"0"}, names)
	require.Equal(t, []int{4, 2, 2}, []int{p.Total, p.Page, p.TotalPages})
	names, _ = list(accounts.ListFilters{Status: "error"})
	require.Equal(t, []string{"1"}, names)
	names, _ = list(accounts.ListFilters{Platform: accounts.Platforms[3]})
	require.Equal(t, []string{"3"}, names)
	_, p = list(accounts.ListFilters{Platform: accounts.Droid})
	require.JSONEq(t, `{"accounts":[],"total":0,"page":1,"totalPages":0}`, marshal(t, p))
}

// Usage counts at once, compacted or pending, on every read.
func TestUsageStatsOfAccounts(t *testing.T) {
	l := &written{}
	b := setup(t, l.traced(t))
	k, err := b.APIKeys.CreateAPIKey(b.ctx(), apikeys.KeyData{Name: "k"}).Get()
	require.NoError(t, err)
	one, two := b.createClaude(), b.createClaude()
	record := func(account string, n int64) {
		rec := usage.Record{APIKeyID: k.ID, AccountID: account, AccountType: "claude", Model: "m", InputTokens: n, OutputTokens: 2 * n, TotalTokens: 4 * n, Cost: result.MustMoney("0.000000000001"), RequestCount: n}
		require.NoError(t, b.Usage.RecordUsage(b.ctx(), rec).Err())
	}
	record(one, 1)
	require.Eventually(t, func() bool { return b.count("SELECT count(*) FROM usage_pending") == 0 }, time.Minute, 10*time.Millisecond)
	record(one, 10)
	record(two, 5)
	record(uuid.NewString(), 1000)
	want := map[string]accounts.UsageStats{
		one: {TotalRequests: 11, TotalTokens: 44, TotalCost: result.MustMoney("0.000000000002")},
		two: {TotalRequests: 5, TotalTokens: 20, TotalCost: result.MustMoney("0.000000000001")},
	}
	asked := strings.Count(l.text(), "UsageAccountTotals")
	list, err := b.accs.GetAvailableAccounts(b.ctx(), accounts.AvailableFilters{}).Get()
	require.NoError(t, err)
	require.Equal(t, asked+1, strings.Count(l.text(), "UsageAccountTotals"), "one query for a whole list")
	page, err := b.accs.ListAccounts(b.ctx(), accounts.ListFilters{}).Get()
	require.NoError(t, err)
	require.Equal(t, asked+2, strings.Count(l.text(), "UsageAccountTotals"), "and for a whole page")
	require.Equal(t, marshal(t, want[two]), marshal(t, page.Accounts[0].UsageStats))
	require.Len(t, list, 2)
	for _, a := range list {
		require.Equal(t, marshal(t, want[a.ID]), marshal(t, a.UsageStats))
		require.Equal(t, marshal(t, want[a.ID]), marshal(t, b.get(a.ID).UsageStats))
	}
	require.JSONEq(t, `{"totalRequests":0,"totalTokens":0,"totalCost":0}`, marshal(t, b.get(b.createClaude()).UsageStats))
}

// Details that somebody broke by hand hide no other account.
func TestBrokenDetailsHurtNobody(t *testing.T) {
	b := setup(t, uncached)
	b.createClaude()
	id := b.createClaude()
	b.exec(`UPDATE accounts SET details = '{"Region": 1, "maxConcurrency": "many"}' WHERE id = $1`, id)
	require.Len(t, b.available(accounts.AvailableFilters{}), 2)
	require.JSONEq(t, `{"Region": 1, "maxConcurrency": "many"}`, string(b.get(id).Details.Extra))
}
