package accounts_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/testclient"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/accounts"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// pair is a client on each primary, with the same accounts.
type pair struct {
	*testing.T
	clients [2]*bundle
	ids     []string
}

// both requires that the primaries say the same.
func (p *pair) both(what string, ask func(*bundle) any) {
	p.Helper()
	require.Equal(p, marshal(p.T, ask(p.clients[0])), marshal(p.T, ask(p.clients[1])), what)
}

// Whatever is done to accounts, it shows the same on either primary.
func TestRedisIsAsPostgres(t *testing.T) {
	p := &pair{T: t, clients: [2]*bundle{setup(t, uncached), {}}}
	cfg := p.clients[0].cfg
	onRedis(t)(&cfg)
	cfg.DatabaseURL = testclient.Config(t).DatabaseURL
	second := *p.clients[0]
	second.cfg, second.Client = cfg, testclient.OnRedis(t, cfg, "account")
	second.accs = second.Accounts
	p.clients[1] = &second
	for i, platform := range accounts.Platforms {
		d := laid(platform)
		d.ID, d.Priority = fmt.Sprintf("00000000-0000-4000-8000-%012d", i), 1+i%2
		p.ids = append(p.ids, d.ID)
		p.both("create", func(b *bundle) any { return b.create(d) })
	}
	seed := time.Now().UnixNano()
	t.Logf("seed %d", seed)
	draw := rand.New(rand.NewPCG(uint64(seed), 0)) //nolint:gosec // a test's draw
	for range 150 {
		p.step(draw)
	}
}

func (p *pair) step(draw *rand.Rand) {
	p.Helper()
	i := draw.IntN(len(p.ids))
	id, platform := p.ids[i], accounts.Platforms[i]
	switch draw.IntN(7) {
	case 1:
		takes := draw.IntN(2) == 0
		p.both("pause", func(b *bundle) any { return b.accs.SetSchedulable(b.ctx(), id, takes) })
		for _, b := range p.clients {
			require.Equal(p, takes, b.get(id).Schedulable)
		}
	case 0:
		patch := drawPatch(draw, platform)
		p.both("credentials", func(b *bundle) any { return b.accs.SetCredentials(b.ctx(), id, patch) })
	default:
		word, m := accounts.Statuses[draw.IntN(4)], drawMetadata(draw)
		p.both("status", func(b *bundle) any { return b.accs.UpdateAccountStatus(b.ctx(), id, word, m) })
	}
	p.both("credentials "+platform, func(b *bundle) any {
		doc, err := b.credentials(id).RevealJSON()
		require.NoError(b, err)
		return string(doc)
	})
	p.both("account "+platform, func(b *bundle) any {
		a := b.get(id)
		a.CreatedAt, a.UpdatedAt = time.Time{}, time.Time{}
		return a
	})
	f := accounts.AvailableFilters{Platform: platform, MinTokensRemaining: draw.Int64N(3)}
	if yes := draw.IntN(2) == 0; draw.IntN(2) == 0 {
		f.RateLimitAvailable = &yes
	}
	if draw.IntN(3) == 0 {
		f.Status = accounts.Statuses[draw.IntN(4)]
	}
	p.both("available", func(b *bundle) any { return b.accs.GetAvailableAccounts(b.ctx(), f) })
	list := accounts.ListFilters{Status: f.Status, Limit: 3, Offset: draw.IntN(5)}
	p.both("list", func(b *bundle) any {
		page, err := b.accs.ListAccounts(b.ctx(), list).Get()
		require.NoError(b, err)
		ids := []string{fmt.Sprint(page.Total, page.TotalPages)}
		for _, a := range page.Accounts {
			ids = append(ids, a.ID)
		}
		return ids
	})
}

func drawMetadata(draw *rand.Rand) (m accounts.StatusMetadata) {
	if draw.IntN(3) == 0 {
		m.ErrorMessage = "said"
	}
	if draw.IntN(2) == 0 {
		m.RateLimitResetAt = time.Now().Add(time.Duration(draw.IntN(3)-1) * time.Hour).UTC().Truncate(time.Millisecond)
	}
	if draw.IntN(2) == 0 {
		m.LastRequestAt = time.Now().Add(time.Duration(draw.IntN(100)-90) * time.Minute).UTC().Truncate(time.Millisecond)
	}
	if n := draw.Int64N(4); n < 3 {
		m.TokensRemaining = &n
	}
	return m
}

func drawPatch(draw *rand.Rand, platform string) (p accounts.CredentialsPatch) {
	given := laid(platform)
	word := fmt.Sprint("drawn-", draw.IntN(1000))
	switch draw.IntN(8) {
	case 0:
		p.APIKey = result.Null[string]()
	case 1:
		p.APIKey = result.Set(word)
	case 2:
		p.OAuthData = result.Null[accounts.OAuthData]()
	case 3:
		p.OAuthData = result.Set(accounts.OAuthData{AccessToken: word, Scopes: []string{"one"}})
	case 4:
		p.Secrets = result.Null[accounts.Secrets]()
	case 5:
		p.ProxyConfig = result.Null[accounts.ProxyConfig]()
	case 6:
		p.Secrets, p.ProxyConfig = result.Set(given.Secrets), result.Set(*given.ProxyConfig)
	default: // what most platforms have no field for
		p.Secrets = result.Set(accounts.Secrets{Email: word, Password: "p", BearerToken: "b", APIKeys: []string{word, word}, IDToken: "i"})
	}
	return p
}

// Three processes change one account at the same time, and the service beside them.
func TestRedisConcurrentChanges(t *testing.T) {
	b := setup(t, onRedis(t), func(c *repo.Config) { c.OpTimeout = time.Minute }) // a busy machine is no failure
	s := b.service()
	for _, platform := range []string{accounts.Claude, accounts.Bedrock} {
		id := b.create(laid(platform))
		key := layouts[platform].prefix + id
		repos := []*accounts.Repo{b.accs, testclient.Open(t, b.cfg).Accounts, testclient.Open(t, b.cfg).Accounts}
		latest := time.Now().Add(time.Hour).UTC().Truncate(time.Millisecond)
		const each = 20
		var running sync.WaitGroup
		for n, r := range repos {
			running.Go(func() {
				for i := range each {
					at := latest.Add(-time.Duration((i*7+n)%(3*each)) * time.Second)
					require.NoError(t, r.UpdateAccountStatus(b.ctx(), id, accounts.Active, accounts.StatusMetadata{LastRequestAt: at}).Err())
				}
			})
		}
		running.Go(func() {
			for i := range each {
				require.NoError(t, repos[0].SetCredentials(b.ctx(), id, accounts.CredentialsPatch{APIKey: result.Set(fmt.Sprint("k", i))}).Err())
			}
		})
		running.Go(func() {
			for i := range each {
				p := accounts.Secrets{Email: fmt.Sprint("e", i)}
				require.NoError(t, repos[1].SetCredentials(b.ctx(), id, accounts.CredentialsPatch{Secrets: result.Set(p)}).Err())
			}
		})
		if platform != accounts.Bedrock { // whose document the service writes as a whole
			running.Go(func() {
				for i := range each {
					s.do("HSET", key, "stoppedReason", fmt.Sprint("r", i))
				}
			})
		}
		running.Wait()
		last := strconv.Itoa(each - 1)
		c := b.credentials(id)
		require.Equal(t, []string{"k" + last, "e" + last}, []string{c.APIKey, c.Secrets.Email})
		require.Equal(t, latest, b.get(id).LastUsedAt)
		if platform != accounts.Bedrock {
			require.Equal(t, "r"+last, s.hash(key)["stoppedReason"])
		}
	}
}

// The service's own limits and words are read as it means them, and what we write of a
// limit it undoes by itself.
func TestRedisServiceStates(t *testing.T) {
	b := setup(t, onRedis(t))
	s := b.service()
	id := b.create(laid(accounts.Claude))
	key := "claude:account:" + id
	began := time.Now().Add(-time.Minute).UTC().Truncate(time.Millisecond)
	for _, c := range []struct {
		fields      []string
		status      string
		reset       time.Time
		schedulable bool
	}{
		{[]string{"status", "created"}, accounts.Active, time.Time{}, true},
		{[]string{"status", "unauthorized", "schedulable", "false"}, accounts.InError, time.Time{}, false},
		{[]string{"status", "temp_error", "schedulable", ""}, accounts.InError, time.Time{}, true},
		{[]string{"status", "something new"}, accounts.InError, time.Time{}, true},
		{[]string{"status", "active", "isActive", "false"}, accounts.Inactive, time.Time{}, true},
		{[]string{"isActive", "true", "rateLimitStatus", "limited", "rateLimitedAt", began.Format(time.RFC3339Nano), "schedulable", "false", "rateLimitAutoStopped", "true"}, accounts.RateLimited, began.Add(time.Hour), true},
		{[]string{"rateLimitDuration", "5"}, accounts.RateLimited, began.Add(5 * time.Minute), true},
		{[]string{"rateLimitEndAt", began.Format(time.RFC3339Nano)}, accounts.RateLimited, began, true},
	} {
		s.do(append([]string{"HSET", key}, c.fields...)...)
		a := b.get(id)
		require.Equal(t, []any{c.status, c.reset, c.schedulable}, []any{a.Status, a.RateLimitStatus.ResetAt, a.Schedulable}, c.fields)
	}
	free, err := b.accs.GetAvailableAccounts(b.ctx(), accounts.AvailableFilters{}).Get()
	require.NoError(t, err)
	require.Len(t, free, 1, "its limit has passed")

	reset := time.Now().Add(time.Hour).UTC().Truncate(time.Millisecond)
	require.NoError(t, b.accs.UpdateAccountStatus(b.ctx(), id, accounts.Active, accounts.StatusMetadata{}).Err())
	require.Equal(t, "true", s.hash(key)["schedulable"])
	require.NoError(t, b.accs.UpdateAccountStatus(b.ctx(), id, accounts.RateLimited, accounts.StatusMetadata{RateLimitResetAt: reset}).Err())
	fields := s.hash(key)
	require.Equal(t, []string{"limited", "false", "true", "active", reset.Format("2006-01-02T15:04:05.000Z")},
		[]string{fields["rateLimitStatus"], fields["schedulable"], fields["rateLimitAutoStopped"], fields["status"], fields["rateLimitEndAt"]})
	for _, schedulable := range []bool{false, true} { // a pause outlives the limit, whose own comes back with its end
		require.NoError(t, b.accs.SetSchedulable(b.ctx(), id, schedulable).Err())
		fields = s.hash(key)
		require.Equal(t, []any{"false", schedulable}, []any{fields["schedulable"], fields["rateLimitAutoStopped"] == "true"})
	}
	s.do("HDEL", key, "rateLimitStatus", "rateLimitedAt", "rateLimitEndAt", "rateLimitAutoStopped")
	s.do("HSET", key, "schedulable", "true")
	require.Equal(t, accounts.Active, b.get(id).Status)
	require.NoError(t, b.accs.UpdateAccountStatus(b.ctx(), id, accounts.InError, accounts.StatusMetadata{ErrorMessage: "m"}).Err())
	require.Equal(t, []string{"error", "m", "true"}, []string{s.hash(key)["status"], s.hash(key)["errorMessage"], s.hash(key)["isActive"]})
}

// Another epoch in Redis refuses every write, and nothing is written.
func TestRedisIsFenced(t *testing.T) {
	r := setupRefresh(t, onRedis(t))
	s := r.service()
	_, err := r.accs.ListAccounts(r.ctx(), accounts.ListFilters{}).Get() // makes the indexes
	require.NoError(t, err)
	s.do("SET", "relaystore:epoch:account", "7")
	before := s.dump()
	for name, write := range map[string]func() error{
		"create":  func() error { return r.accs.CreateAccount(r.ctx(), laid(accounts.Droid)).Err() },
		"bedrock": func() error { return r.accs.CreateAccount(r.ctx(), laid(accounts.Bedrock)).Err() },
		"set": func() error {
			return r.accs.SetCredentials(r.ctx(), r.id, accounts.CredentialsPatch{APIKey: result.Set("k")}).Err()
		},
		"status": func() error {
			return r.accs.UpdateAccountStatus(r.ctx(), r.id, accounts.Inactive, accounts.StatusMetadata{}).Err()
		},
		"delete":  func() error { return r.accs.DeleteAccount(r.ctx(), r.id).Err() },
		"refresh": func() error { return r.accs.RefreshOAuthToken(r.ctx(), r.id).Err() },
	} {
		require.ErrorIs(t, write(), result.ReadOnly, name)
	}
	require.Equal(t, before, s.dump())
	require.Zero(t, r.p.Calls())
	require.Equal(t, r.access, r.credentials(r.id).AccessToken, "reads go on")
}

func TestRedisRefusals(t *testing.T) {
	b := setup(t, onRedis(t), func(c *repo.Config) { c.LegacyEncryptionKey = "" })
	field := "RELAYSTORE_LEGACY_ENCRYPTION_KEY"
	requireField(t, b.accs.CreateAccount(b.ctx(), laid(accounts.Droid)).Err(), result.InvalidQuery, field)
	spaced := laid(accounts.Claude)
	spaced.OAuthData.Scopes = []string{"a b"}
	requireField(t, b.accs.CreateAccount(b.ctx(), spaced).Err(), result.InvalidQuery, "oauthData.scopes")
	plain := accounts.AccountData{Platform: accounts.CCR, Name: "n", Details: accounts.Details{PlanType: "null"}}
	requireField(t, b.accs.CreateAccount(b.ctx(), plain).Err(), result.InvalidQuery, "details.planType")
	plain.Details.PlanType = ""
	id := b.create(plain)
	b.credentials(id)
	requireField(t, b.accs.SetCredentials(b.ctx(), id, accounts.CredentialsPatch{APIKey: result.Set("k")}).Err(), result.InvalidQuery, field)
	s := b.service()
	s.do("HSET", "ccr_account:"+id, "apiKey", s.close("ccr-account-salt", "k"))
	require.Equal(t, "n", b.get(id).Name)
	requireField(t, b.accs.GetCredentials(b.ctx(), id).Err(), result.InvalidQuery, field)
	plain.ID = id
	requireField(t, b.accs.CreateAccount(b.ctx(), plain).Err(), result.DuplicateKey, "id")
	require.ErrorIs(t, b.accs.GetAccount(b.ctx(), unknownID).Err(), result.RecordNotFound)
	require.ErrorIs(t, b.accs.UpdateAccountStatus(b.ctx(), unknownID, accounts.Active, accounts.StatusMetadata{}).Err(), result.RecordNotFound)

	_, err := b.accs.Reseal(b.ctx(), nil)
	require.ErrorIs(t, err, result.InvalidQuery)
	require.ErrorIs(t, b.Transactions.InTransaction(b.ctx(), repo.TxOptions{}, func(in *repo.Client) error {
		for _, err := range []error{
			in.Accounts.CreateAccount(b.ctx(), accounts.AccountData{Platform: accounts.CCR, Name: "n"}).Err(), in.Accounts.GetAccount(b.ctx(), id).Err(),
			in.Accounts.GetCredentials(b.ctx(), id).Err(), in.Accounts.DeleteAccount(b.ctx(), id).Err(),
			in.Accounts.ListAccounts(b.ctx(), accounts.ListFilters{}).Err(), in.Accounts.RefreshOAuthToken(b.ctx(), id).Err(),
			in.Accounts.UpdateAccountStatus(b.ctx(), id, accounts.Active, accounts.StatusMetadata{}).Err(),
		} {
			require.ErrorIs(t, err, result.InvalidQuery)
		}
		return result.InvalidQuery
	}), result.InvalidQuery)

	other := b.cfg
	other.LegacyEncryptionKey = "another key"
	wrong := testclient.Open(t, other).Accounts.GetCredentials(b.ctx(), id).Err()
	if wrong != nil { // a wrong key shows in 255 of 256 texts; this one's is fixed
		require.ErrorIs(t, wrong, result.Internal)
		require.NotContains(t, wrong.Error(), "another key")
	}
	require.Error(t, wrong)
}

// Accounts of old versions, which kept no index, are found.
func TestRedisWithoutIndexes(t *testing.T) {
	b := setup(t, onRedis(t))
	s := b.service()
	var ids []string
	for i, prefix := range []string{"claude:account:", "claude_account:", "gemini_account:"} {
		id := strings.Replace(unknownID, unknownID[:1], strconv.Itoa(i), 1)
		ids = append(ids, id)
		s.do("HSET", prefix+id, "id", id, "name", "old", "isActive", "true", "createdAt", "2025-01-02T03:04:05.678Z")
		s.do("HSET", prefix+id+":401_errors", "n", "1")
	}
	page, err := b.accs.ListAccounts(b.ctx(), accounts.ListFilters{}).Get()
	require.NoError(t, err)
	var got []string
	for _, a := range page.Accounts {
		got = append(got, a.ID)
		require.NoError(t, b.accs.UpdateAccountStatus(context.Background(), a.ID, accounts.InError, accounts.StatusMetadata{}).Err())
	}
	slices.Sort(got)
	require.Equal(t, ids, got)
	require.Equal(t, ids[:1], s.set("claude:account:index"))
	require.Equal(t, "1", s.text("GET", "droid:account:index:empty"))
	require.Equal(t, "error", s.hash("claude_account:" + ids[1])["status"], "it stays where it was")
}
