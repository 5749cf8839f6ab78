package accounts_test

import (
	"context"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/faultproxy"
	"github.com/seed14a526e0/relaystore/internal/testclient"
	"github.com/seed14a526e0/relaystore/internal/testprovider"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/accounts"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

func (r *refreshing) stateKey() string { return "relaystore:refresh:" + r.id }

func (r *refreshing) lockKey() string { return "token_refresh_lock:claude:" + r.id }

// Three processes of twenty callers each, over several expiries, as on PostgreSQL.
func TestRedisProcessesShareOneCall(t *testing.T) { shareOneCall(t, setupRefresh(t, onRedis(t))) }

// What a refresh stores is where the service looks for it, in each of the types.
func TestRedisRefreshIsTheServices(t *testing.T) {
	r := setupRefresh(t, onRedis(t))
	s := r.service()
	for _, c := range []struct{ platform, answer, access, refresh, at string }{
		{accounts.Claude, "claudeAiOauth", "accessToken", "refreshToken", "lastRefreshAt"},
		{accounts.Gemini, "geminiOauth", "access_token", "refresh_token", "lastRefreshAt"},
		{accounts.OpenAI, "openaiOauth", "accessToken", "refreshToken", "lastRefresh"},
		{accounts.Droid, "", "", "", "lastRefreshAt"},
	} {
		at := layouts[c.platform]
		access, refresh := r.p.Authorise()
		o := &accounts.OAuthData{AccessToken: access, RefreshToken: refresh, Scopes: []string{"a"}, ExpiresAt: time.Now()}
		r.id = r.create(accounts.AccountData{Platform: c.platform, Name: "n", OAuthData: o})
		key := at.prefix + r.id
		s.do("HSET", key, "unknown", "kept")
		if c.answer != "" {
			s.do("HSET", key, c.answer, s.close(at.salt, `{"isMax":true,"big":12345678901234567890}`))
		}
		got := r.mustCall()
		fields := s.hash(key)
		require.Equal(t, got.AccessToken, s.open(at.salt, fields["accessToken"]))
		stored := s.open(at.salt, fields["refreshToken"])
		require.NotEqual(t, refresh, stored)
		require.Equal(t, "kept", fields["unknown"])
		require.NotEmpty(t, fields[c.at])
		want := got.ExpiresAt.Truncate(time.Millisecond)
		if c.platform == accounts.Claude {
			require.Equal(t, strconv.FormatInt(want.UnixMilli(), 10), fields["expiresAt"])
		} else {
			require.Equal(t, want.Format("2006-01-02T15:04:05.000Z"), fields["expiresAt"])
		}
		if c.answer != "" {
			text := s.open(at.salt, fields[c.answer])
			require.Contains(t, text, "12345678901234567890")
			doc := s.document(text)
			require.Equal(t, []any{true, got.AccessToken, stored}, []any{doc["isMax"], doc[c.access], doc[c.refresh]})
		}
		require.Equal(t, got.AccessToken, r.credentials(r.id).AccessToken)
	}
}

// The service and the library never refresh an account at the same time.
func TestRedisRefreshLock(t *testing.T) {
	r := setupRefresh(t, onRedis(t))
	s := r.service()
	until := make(chan struct{})
	r.p.Answer(testprovider.Waits(until, testprovider.Rotates))
	done := make(chan error, 1)
	go func() {
		_, err := r.call()
		done <- err
	}()
	r.called(1)
	require.Empty(t, s.text("SET", r.lockKey(), "the service", "NX", "EX", "60"), "we hold its lock")
	require.InDelta(t, 45_000, mustInt(t, s, "PTTL", r.lockKey()), 15_000)
	close(until)
	require.NoError(t, <-done)
	require.Zero(t, mustInt(t, s, "EXISTS", r.lockKey()))

	r.expire()
	s.do("SET", r.lockKey(), "the service", "NX", "EX", "60")
	waiting := make(chan result.Result[accounts.Refreshed], 1)
	go func() { waiting <- r.accs.RefreshOAuthToken(r.ctx(), r.id) }()
	calls := func() int { return int(mustInt(t, s, "INFO", "commandstats")) }
	before := calls()
	require.Eventually(t, func() bool { return calls() > before+2 }, patience, time.Millisecond, "it looks again and again")
	s.do("HSET", "claude:account:"+r.id, "accessToken", s.close("salt", "by the service"), "refreshToken", s.close("salt", "theirs"))
	s.do("DEL", r.lockKey())
	got, err := (<-waiting).Get()
	require.NoError(t, err)
	require.Equal(t, "by the service", got.AccessToken)
	require.Equal(t, 1, r.p.Calls())

	take := func() { s.do("SET", r.lockKey(), "the service", "EX", "60") }
	leased, intended, err := r.accs.LeaseRefresh(r.ctx(), r.id, take)
	require.NoError(t, err)
	require.Equal(t, []bool{true, false}, []bool{leased, intended}, "it came between")
	leased, _, err = r.accs.LeaseRefresh(r.ctx(), r.id, take)
	require.NoError(t, err)
	require.False(t, leased, "it has the lock")
}

var evaluations = regexp.MustCompile(`cmdstat_evalsha_ro:calls=(\d+)`)

// mustInt gives a number; of INFO, how many scripts have read.
func mustInt(t *testing.T, s service, words ...string) int64 {
	t.Helper()
	if words[0] == "INFO" {
		n, err := strconv.ParseInt(evaluations.FindStringSubmatch(s.text(words...))[1], 10, 64)
		require.NoError(t, err)
		return n
	}
	m := s.do(words...)
	n, err := m.AsInt64()
	require.NoError(t, err)
	return n
}

// A token that is not taken any more, and what ends that.
func TestRedisRefusedToken(t *testing.T) {
	r := setupRefresh(t, onRedis(t))
	s := r.service()
	r.p.Answer(testprovider.Says(400, `{"error":"invalid_grant"}`))
	_, err := r.call()
	r.refused(err, map[string]any{"reason": "invalid_grant", "status": 400})
	_, err = r.call()
	r.refused(err, map[string]any{"reason": "invalid_grant", "status": 400})
	require.Equal(t, 1, r.p.Calls(), "the failure answers")
	fields := s.hash("claude:account:" + r.id)
	require.Equal(t, "error", fields["status"])
	require.Contains(t, fields["errorMessage"], "invalid_grant")
	require.False(t, r.credentials(r.id).IsActive)

	r.p.Answer(testprovider.Rotates)
	access, refresh := r.p.Authorise()
	o := accounts.OAuthData{AccessToken: access, RefreshToken: refresh, Scopes: []string{"a"}}
	require.NoError(t, r.accs.SetCredentials(r.ctx(), r.id, accounts.CredentialsPatch{OAuthData: result.Set(o)}).Err())
	require.Equal(t, accounts.Active, r.get(r.id).Status)
	r.mustCall()

	r.expire()
	require.NoError(t, r.accs.UpdateAccountStatus(r.ctx(), r.id, accounts.Inactive, accounts.StatusMetadata{}).Err())
	r.p.Answer(testprovider.Says(400, `{"error":"invalid_grant"}`))
	_, err = r.call()
	require.ErrorIs(t, err, result.UpstreamRefreshFailed)
	require.Equal(t, accounts.Inactive, r.get(r.id).Status)
	require.Zero(t, mustInt(t, s, "EXISTS", r.lockKey()))
}

// A process is killed when the provider has exchanged the token: the next one is told so.
func TestRedisProcessIsKilled(t *testing.T) {
	r := setupRefresh(t, onRedis(t))
	s := r.service()
	r.p.Answer(testprovider.RotatesAndStalls)
	g := r.gateway("")
	g.ask()
	r.called(1)
	require.Eventually(t, func() bool { return !r.p.Works(r.access) }, patience, time.Millisecond)
	g.kill()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	require.ErrorIs(t, r.accs.RefreshOAuthToken(ctx, r.id).Err(), result.QueryTimeout, "its lease holds")
	r.p.Answer(testprovider.Rotates)
	s.do("HSET", r.stateKey(), "lease", "1") // a minute has passed
	s.do("DEL", r.lockKey())
	another := r.another()
	another.Hurry(0, time.Millisecond, 0)
	err := another.RefreshOAuthToken(r.ctx(), r.id).Err()
	r.refused(err, map[string]any{"reason": "invalid_grant", "status": 400})
	require.Contains(t, r.get(r.id).ErrorMessage, "the answer of an earlier refresh was lost")
	require.Equal(t, 2, r.p.Calls())
}

// Redis goes away when the provider has answered: the tokens are stored when it is
// back, once, also where the first try was done and nobody heard of it.
func TestRedisGoesAwayBeforeStoring(t *testing.T) {
	for _, unheard := range []bool{false, true} {
		t.Run(strconv.FormatBool(unheard), func(t *testing.T) {
			r := setupRefresh(t, onRedis(t))
			cfg := r.cfg
			proxy, url := faultproxy.Redis(t, cfg.PrimaryRedisURL)
			cfg.PrimaryRedisURL, cfg.OpTimeout = url, time.Second
			there, err := repo.Open(t.Context(), cfg)
			require.NoError(t, err)
			t.Cleanup(func() { _ = there.Close(context.Background()) })
			until := make(chan struct{})
			r.p.Answer(testprovider.Waits(until, testprovider.Rotates))
			done := make(chan error, 1)
			go func() { done <- there.Accounts.RefreshOAuthToken(r.ctx(), r.id).Err() }()
			r.called(1)
			if unheard {
				cut := proxy.OnMatch(faultproxy.ToClient, regexp.MustCompile(`:1\d{12}\r`), faultproxy.CutBefore)
				close(until)
				<-cut
				require.True(t, r.p.Works(r.credentials(r.id).AccessToken), "it is done")
			} else {
				proxy.Cut()
				close(until)
				require.Eventually(t, func() bool { return there.Accounts.Unstored() == 1 }, patience, time.Millisecond)
				require.Equal(t, r.access, r.credentials(r.id).AccessToken)
			}
			proxy.Pass()
			require.NoError(t, <-done)
			require.Zero(t, there.Accounts.Unstored())
			require.True(t, r.p.Works(r.credentials(r.id).AccessToken))
			require.Equal(t, 1, r.p.Calls())
			require.Empty(t, r.service().text("HGET", r.stateKey(), "intent"))
		})
	}
}

// intending is in the script that notes an intent, whose text is sent once.
var intending = regexp.MustCompile(`'finished', 'answers'\)`)

// throughProxy opens another process that reaches the Redis through a proxy, and stops it
// in a refresh before its intent is noted.
func (r *refreshing) throughProxy() (there *repo.Client, proxy *faultproxy.Proxy, done <-chan error) {
	r.Helper()
	cfg := r.cfg
	cfg.OpTimeout = patience
	proxy, cfg.PrimaryRedisURL = faultproxy.Redis(r.T, cfg.PrimaryRedisURL)
	there = testclient.Open(r.T, cfg)
	stalled := proxy.OnMatch(faultproxy.ToServer, intending, faultproxy.StallAfter)
	refreshed := make(chan error, 1)
	go func() { refreshed <- there.Accounts.RefreshOAuthToken(r.ctx(), r.id).Err() }()
	<-stalled
	return there, proxy, refreshed
}

// An intent is noted and nobody hears of it: the provider is not called, as another
// process may be by now. The next refresh calls it, and all is as it was.
func TestRedisIntentIsUnheard(t *testing.T) {
	r := setupRefresh(t, onRedis(t))
	there, proxy, done := r.throughProxy()
	cut := proxy.On(faultproxy.ToClient, ":1\r\n", faultproxy.CutBefore)
	proxy.Pass()
	<-cut
	err := <-done
	require.ErrorIs(t, err, result.ConnectionFailed)
	require.Zero(t, r.p.Calls())
	require.NotEmpty(t, r.service().text("HGET", r.stateKey(), "intent"))
	there.Accounts.Hurry(0, time.Millisecond, 0)
	require.NoError(t, there.Accounts.RefreshOAuthToken(r.ctx(), r.id).Err())
	require.Equal(t, 1, r.p.Calls())
	require.True(t, r.p.Works(r.credentials(r.id).AccessToken))
	require.Equal(t, accounts.Active, r.get(r.id).Status)
	require.Empty(t, r.service().text("HGET", r.stateKey(), "intent"))
}

// The primary is moved between a refresh's lease and its intent: it reads the account anew,
// and goes on under the same lease.
func TestRedisIntentIsMoved(t *testing.T) {
	r := setupRefresh(t, onRedis(t))
	there, proxy, done := r.throughProxy()
	r.switchTo(strategy.PrimaryPostgres)
	proxy.Pass()
	require.NoError(t, <-done)
	require.Equal(t, 1, r.p.Calls())
	got, err := there.Accounts.GetCredentials(r.ctx(), r.id).Get()
	require.NoError(t, err)
	require.True(t, r.p.Works(got.AccessToken))
	require.Equal(t, got.AccessToken, r.credentials(r.id).AccessToken)
	r.free()
	require.Zero(t, r.count("SELECT count(*) FROM account_refreshes WHERE intent_at IS NOT NULL"))
	require.Empty(t, r.service().text("HGET", r.stateKey(), "intent"))
}

func TestRedisRefreshAhead(t *testing.T) {
	r := setupRefresh(t, onRedis(t), halfAnHourAhead)
	s := r.service()
	expires := func(id string, in time.Duration) {
		s.do("HSET", "claude:account:"+id, "expiresAt", strconv.FormatInt(time.Now().Add(in).UnixMilli(), 10))
	}
	late, _, _ := r.authorise()
	paused, _, _ := r.authorise()
	expires(r.id, 29*time.Minute)
	expires(late, 31*time.Minute)
	require.NoError(t, r.accs.UpdateAccountStatus(r.ctx(), paused, accounts.Inactive, accounts.StatusMetadata{}).Err())
	r.p.Answer(testprovider.Says(503, ""))
	r.accs.RefreshDue(r.ctx())
	require.Equal(t, 1, r.p.Calls())
	r.p.Answer(testprovider.Rotates)
	r.accs.RefreshDue(r.ctx())
	require.Equal(t, 1, r.p.Calls(), "it has failed a short while ago")
	s.do("HSET", r.stateKey(), "finished", "1", "answers", "1")
	r.accs.RefreshDue(r.ctx())
	r.renewed()
	r.expire()
	r.accs.RefreshDue(r.ctx())
	require.Equal(t, 2, r.p.Calls(), "the new one lives for an hour")
}
