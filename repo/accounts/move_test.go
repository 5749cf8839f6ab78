package accounts_test

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/testclient"
	"github.com/seed14a526e0/relaystore/internal/testprovider"
	"github.com/seed14a526e0/relaystore/repo/accounts"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

var onPostgres = strategy.Config{PrimaryStorage: strategy.PrimaryPostgres, ReadStrategy: strategy.DatabaseFirst, WriteStrategy: strategy.WriteThrough}

// switchTo changes the primary of a client.
func (b *bundle) switchTo(p strategy.Primary) {
	b.Helper()
	to := onPostgres
	to.PrimaryStorage = p
	require.NoError(b, b.Storage.SwitchStorageStrategy(b.ctx(), strategy.Account, to).Err())
}

// move gives what a copy works with, at the epoch that the client follows.
func (b *bundle) move() strategy.Move {
	b.Helper()
	p := &strategy.Postgres{Pool: b.pool, OpTimeout: time.Minute}
	s := &strategy.Switches{Primary: p, Machinery: strategy.Machinery{Redis: true}, Logger: slog.New(slog.DiscardHandler), Redis: &strategy.Redis{
		OpTimeout: time.Minute, Zone: time.UTC, EncryptionKey: serviceKey,
		Connect: func() (rueidis.Client, error) {
			o, err := rueidis.ParseURL(b.cfg.PrimaryRedisURL)
			o.DisableCache, o.ForceSingleClient = true, true
			require.NoError(b, err)
			return rueidis.NewClient(o)
		},
	}}
	require.NoError(b, s.Look(b.ctx()))
	s.Start()
	b.Cleanup(s.Close)
	b.Cleanup(s.Redis.Close)
	return strategy.Move{Postgres: p, Redis: s.Redis, Progress: func(int64, int64) {}}
}

// portraits is all that the accounts show.
func (b *bundle) portraits() map[string]string {
	b.Helper()
	page, err := b.accs.ListAccounts(b.ctx(), accounts.ListFilters{Limit: 1000}).Get()
	require.NoError(b, err)
	all := make(map[string]string)
	for _, a := range page.Accounts {
		doc, err := b.credentials(a.ID).RevealJSON()
		require.NoError(b, err)
		all[a.ID] = marshal(b.T, a) + string(doc)
	}
	return all
}

// differ compares the primaries.
func (b *bundle) differ() int64 {
	b.Helper()
	n, err := b.accs.Mover().Compare(b.ctx(), b.move())
	require.NoError(b, err)
	return n
}

// Accounts of each type, in drawn states, go to Redis and back, and nothing is lost.
func TestMove(t *testing.T) {
	b := setup(t, onRedis(t))
	stale := b.create(laid(accounts.OpenAI)) // an earlier period on Redis leaves it
	b.service().do("HSET", "openai:account:"+stale, "lastRefresh", "2026-01-02T03:04:05.678Z")
	b.switchTo(strategy.PrimaryPostgres)
	seed := uint64(time.Now().UnixNano()) //nolint:gosec // a test's draw
	t.Log("seed", seed)
	draw := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // a test's draw
	for i := range 30 {
		platform := accounts.Platforms[i%10]
		id := b.create(laid(platform))
		if i >= 10 {
			require.NoError(t, b.accs.UpdateAccountStatus(b.ctx(), id, accounts.Statuses[draw.IntN(4)], drawMetadata(draw)).Err())
			require.NoError(t, b.accs.SetCredentials(b.ctx(), id, drawPatch(draw, platform)).Err())
		}
	}
	want := b.portraits()
	require.EqualValues(t, 30, b.differ())
	b.switchTo(strategy.PrimaryRedis)
	require.Equal(t, want, b.portraits())
	require.Zero(t, b.differ())
	require.NoError(t, b.accs.Mover().ToRedis(b.ctx(), b.move()), "a copy may be begun anew")
	require.Equal(t, want, b.portraits())

	var changed, deleted string
	for id := range want {
		changed, deleted = deleted, id
	}
	require.NoError(t, b.accs.UpdateAccountStatus(b.ctx(), changed, accounts.InError, accounts.StatusMetadata{ErrorMessage: fmt.Sprint("now ", draw.IntN(9))}).Err())
	require.NoError(t, b.accs.DeleteAccount(b.ctx(), deleted).Err())
	added := b.create(laid(accounts.Droid))
	require.EqualValues(t, 3, b.differ())
	want = b.portraits()
	b.switchTo(strategy.PrimaryPostgres)
	require.Equal(t, want, b.portraits())
	require.Zero(t, b.differ())
	require.Contains(t, want, added)
	require.NotContains(t, want, deleted)

	require.NoError(t, b.accs.DeleteAccount(b.ctx(), added).Err())
	b.switchTo(strategy.PrimaryRedis)
	require.NotContains(t, b.portraits(), added)
}

// What one primary cannot hold is named, and stays where it is.
func TestMoveRefuses(t *testing.T) {
	b := setup(t, onRedis(t))
	s := b.service()
	refused := func(to strategy.Primary, id, field string) {
		t.Helper()
		c := onPostgres
		c.PrimaryStorage = to
		err := b.Storage.SwitchStorageStrategy(b.ctx(), strategy.Account, c).Err()
		requireField(t, err, result.InvalidQuery, field)
		require.Equal(t, id, result.From(err).Details["accountId"])
		require.Equal(t, id, b.get(id).ID)
	}
	id := b.create(accounts.AccountData{Platform: accounts.CCR, Name: "n"})
	s.do("HSET", "ccr_account:"+id, "proxy", `{"type":"socks4","host":"h","port":1}`)
	refused(strategy.PrimaryPostgres, id, "proxyConfig.type")
	s.do("HDEL", "ccr_account:"+id, "proxy")
	b.switchTo(strategy.PrimaryPostgres)
	spaced := laid(accounts.Claude)
	spaced.OAuthData.Scopes = []string{"a b"}
	refused(strategy.PrimaryRedis, b.create(spaced), "oauthData.scopes")
}

// A refresh is under way when the primary is moved: the tokens are stored at the new
// one, and nobody calls the provider meanwhile.
func TestMoveUnderARefresh(t *testing.T) {
	for _, from := range []strategy.Primary{strategy.PrimaryPostgres, strategy.PrimaryRedis} {
		t.Run(string(from), func(t *testing.T) {
			r := setupRefresh(t, onRedis(t))
			to := strategy.PrimaryPostgres
			if from == to {
				to = strategy.PrimaryRedis
				r.switchTo(from)
			}
			other := testclient.Open(t, r.cfg)
			until := make(chan struct{})
			r.p.Answer(testprovider.Waits(until, testprovider.Rotates))
			done := make(chan error, 2)
			go func() { done <- other.Accounts.RefreshOAuthToken(r.ctx(), r.id).Err() }()
			r.called(1)
			r.switchTo(to)
			go func() { done <- r.accs.RefreshOAuthToken(r.ctx(), r.id).Err() }()
			leased, _, err := r.accs.LeaseRefresh(r.ctx(), r.id, func() {})
			require.NoError(t, err)
			require.False(t, leased, "the first one has it")
			close(until)
			require.NoError(t, <-done)
			require.NoError(t, <-done)
			require.Equal(t, 1, r.p.Calls())
			require.Eventually(t, func() bool { return r.p.Works(r.credentials(r.id).AccessToken) }, patience, time.Millisecond)
		})
	}
}

// A refresh whose process has slept through the move goes on at the new primary, from its
// lease on and with the version there.
func TestRefreshFollows(t *testing.T) {
	for i, to := range []strategy.Primary{strategy.PrimaryPostgres, strategy.PrimaryRedis} {
		t.Run(string(to), func(t *testing.T) {
			r := setupRefresh(t, onRedis(t))
			if i == 1 {
				r.switchTo(strategy.PrimaryPostgres)
			}
			sleeper := testclient.Open(t, r.cfg)
			sleeper.Storage.Switches.Close() // looks no more
			r.switchTo(to)
			require.NoError(t, sleeper.Accounts.RefreshOAuthToken(r.ctx(), r.id).Err())
			require.Equal(t, 1, r.p.Calls())
			require.True(t, r.p.Works(r.credentials(r.id).AccessToken))
		})
	}
}

// An account that cannot be read is no account that is gone: a list fails, and so does a
// move, which would delete it at the other primary.
func TestUnreadableAccounts(t *testing.T) {
	b := setup(t, onRedis(t))
	id := b.create(laid(accounts.Bedrock))
	b.create(laid(accounts.Claude))
	b.switchTo(strategy.PrimaryRedis)
	s := b.service()
	key := "bedrock_account:" + id
	doc := s.text("GET", key)
	s.do("SET", key, "{")
	mv := b.move()
	require.Equal(t, id, result.From(b.accs.Mover().ToPostgres(t.Context(), mv)).Details["accountId"])
	_, err := b.accs.Mover().Compare(t.Context(), mv)
	require.Equal(t, id, result.From(err).Details["accountId"])
	page, err := b.accs.ListAccounts(t.Context(), accounts.ListFilters{}).Get()
	require.NoError(t, err)
	require.Equal(t, 1, page.Total, "a list leaves out what is damaged")
	s.do("SET", key, doc)

	s.do("ACL", "SETUSER", "default", "-hgetall")
	require.Error(t, b.accs.ListAccounts(t.Context(), accounts.ListFilters{}).Err())
	require.Error(t, b.accs.GetAvailableAccounts(t.Context(), accounts.AvailableFilters{}).Err())
}
