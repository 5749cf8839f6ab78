package docs

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/seed14a526e0/relaystore/internal/devstack"
	"github.com/seed14a526e0/relaystore/internal/faultproxy"
	"github.com/seed14a526e0/relaystore/internal/seal"
	"github.com/seed14a526e0/relaystore/internal/testclient"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/accounts"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/batch"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/sessions"
	"github.com/seed14a526e0/relaystore/repo/usage"
	"github.com/seed14a526e0/relaystore/schema"
)

// outcome is what a call gets in an outage.
type outcome string

const (
	answers outcome = "answers"
	// cached: answers until StaleIfError, then as an uncached one.
	cachedThenTimeOut outcome = "cached, then times out"
	cachedThenFails   outcome = "cached, then fails"
	// timesOutSoon waits for OpTimeout, whatever deadline its caller has.
	timesOutSoon outcome = "times out"
	timesOut     outcome = "waits, then times out"
	fails        outcome = "fails"
)

var timeOuts = []result.Code{result.QueryTimeout, result.ConnectionTimeout, result.PoolExhausted}

// codes are what an outcome's failures may be.
var codes = map[outcome][]result.Code{
	timesOutSoon: timeOuts,
	timesOut:     timeOuts,
	fails:        {result.ConnectionFailed},
}

// later is what a cached answer's outcome turns into.
var later = map[outcome]outcome{cachedThenTimeOut: timesOutSoon, cachedThenFails: fails}

// situations are the table's columns.
var situations = []string{"PostgreSQL stopped", "PostgreSQL killed", "PostgreSQL slow", "Redis stopped", "Redis killed", "Redis slow", "both stopped", "both killed"}

// groups are the table's rows, with the calls of each.
var groups = []struct {
	name     string
	outcomes []outcome // a situation
	mode     string    // "" is both
	calls    func(*gateway) []call
}{
	{"validate, credentials: cached", cells(cachedThenTimeOut, cachedThenFails), "", (*gateway).cached},
	{"validate, credentials: not cached", cells(timesOutSoon, fails), "", (*gateway).uncached},
	{"a key, an account", cells(timesOut, fails), "", (*gateway).reads},
	{"lists", cells(timesOut, fails), "", (*gateway).lists},
	{"record usage: `write_through`", cells(timesOutSoon, fails), repo.WriteThrough, (*gateway).record},
	{"record usage: `write_behind`", behind(), repo.WriteBehind, (*gateway).record},
	{"stats, cost analysis", cells(timesOut, fails), "", (*gateway).figures},
	{"create, update, delete, status", cells(timesOut, fails), "", (*gateway).writes},
	{"transactions, batches", cells(timesOut, fails), "", (*gateway).transactions},
	{"storage health", []outcome{answers, answers, answers, answers, answers, answers, answers, answers}, "", (*gateway).health},
}

// cells are those of what needs PostgreSQL.
func cells(stopped, killed outcome) []outcome {
	return []outcome{stopped, killed, answers, answers, answers, answers, stopped, killed}
}

func behind() []outcome {
	of := cells(timesOutSoon, fails)
	of[0], of[1] = answers, answers
	return of
}

// The page's table is the one that is tested.
func TestOutagesPage(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("outages.md")
	require.NoError(t, err)
	var want strings.Builder
	fmt.Fprintf(&want, "| | %s |\n|%s\n", strings.Join(situations, " | "), strings.Repeat("---|", 1+len(situations)))
	for _, g := range groups {
		fmt.Fprintf(&want, "| %s", g.name)
		for _, o := range g.outcomes {
			fmt.Fprintf(&want, " | %s", o)
		}
		fmt.Fprintln(&want, " |")
	}
	require.Contains(t, string(page), want.String())
	for outcome, of := range codes {
		for _, code := range of {
			require.Contains(t, string(page), string(code), outcome)
		}
	}
}

type call struct {
	name string
	do   func(context.Context) error
}

// servers are a PostgreSQL and a Redis of their own, to be stopped and killed.
type servers struct {
	postgres, redis           *devstack.Stack
	slowPostgres, slowRedis   *faultproxy.Proxy
	direct, proxied           *repo.Client
	key, account, token, hash string
	changing, busy            string // a key and an account that writes change
}

// gateway is a client of them, with a key that it has never asked for.
type gateway struct {
	*servers
	*repo.Client

	freshHash string
}

// TestOutages brings each situation about and looks at each cell.
func TestOutages(t *testing.T) {
	for _, mode := range []string{repo.WriteThrough, repo.WriteBehind} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			s := startServers(t, mode)
			for i, situation := range situations {
				t.Run(situation, func(t *testing.T) { s.check(t, mode, i) })
			}
		})
	}
}

const (
	staleness = 4 * time.Second
	opTimeout = time.Second
)

func startServers(t *testing.T, mode string) *servers {
	t.Helper()
	s := &servers{}
	var err error
	for stack, o := range map[**devstack.Stack]devstack.Options{&s.postgres: {SkipRedis: true}, &s.redis: {SkipPostgres: true}} {
		*stack, err = devstack.Start(t.Context(), o)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, (*stack).Close()) })
	}
	require.NoError(t, schema.Migrate(t.Context(), s.postgres.DatabaseURL))
	cfg := repo.Config{
		DatabaseURL: s.postgres.DatabaseURL, RedisURL: s.redis.RedisURL, UsageWrites: mode, MaxConns: 24,
		MaxStaleness: staleness, OpTimeout: opTimeout, TxTimeout: 2 * opTimeout, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	cfg.Keyset, err = seal.Generate()
	require.NoError(t, err)
	s.direct = testclient.Open(t, cfg)
	s.slowPostgres, cfg.DatabaseURL = faultproxy.Postgres(t, cfg.DatabaseURL)
	s.slowRedis, cfg.RedisURL = faultproxy.Redis(t, cfg.RedisURL)
	s.proxied = testclient.Open(t, cfg)
	k, err := s.direct.APIKeys.CreateAPIKey(t.Context(), apikeys.KeyData{Name: "k"}).Get()
	require.NoError(t, err)
	changing, err := s.direct.APIKeys.CreateAPIKey(t.Context(), apikeys.KeyData{Name: "changing"}).Get()
	require.NoError(t, err)
	oauth := &accounts.OAuthData{AccessToken: "a", RefreshToken: "r", Scopes: []string{"s"}, ExpiresAt: time.Now().Add(time.Hour)}
	a, err := s.direct.Accounts.CreateClaudeAccount(t.Context(), accounts.AccountData{Name: "a", OAuthData: oauth}).Get()
	require.NoError(t, err)
	busy, err := s.direct.Accounts.CreateAccount(t.Context(), accounts.AccountData{Name: "busy", Platform: accounts.Claude}).Get()
	require.NoError(t, err)
	session, err := s.direct.Sessions.CreateSession(t.Context(), sessions.Data{UserID: "u", UserType: sessions.User, SessionData: json.RawMessage("{}")}).Get()
	require.NoError(t, err)
	s.key, s.hash, s.account, s.token = k.ID, k.HashedKey, a.ID, session.SessionToken
	s.changing, s.busy = changing.ID, busy.ID
	return s
}

// check lets everything work, breaks it, looks at the cells, mends it, and has
// everything work again.
func (s *servers) check(t *testing.T, mode string, situation int) {
	slow := strings.HasSuffix(situations[situation], "slow")
	g := &gateway{servers: s, Client: s.direct}
	if slow {
		g.Client = s.proxied
	}
	k, err := s.direct.APIKeys.CreateAPIKey(t.Context(), apikeys.KeyData{Name: "fresh"}).Get()
	require.NoError(t, err)
	g.freshHash = k.HashedKey
	g.works(t)

	expected := make(map[outcome][]call)
	for _, group := range groups {
		if group.mode == "" || group.mode == mode {
			o := group.outcomes[situation]
			expected[o] = append(expected[o], group.calls(g)...)
		}
	}
	mend := s.change(t, situation)
	t.Cleanup(mend)
	for now, of := range later { // first, while they are cached
		for _, c := range expected[now] {
			require.NoError(t, c.do(t.Context()), c.name)
		}
		expected[of] = append(expected[of], expected[now]...)
	}
	s.requireOutcomes(t, expected, slow)
	if strings.Contains(situations[situation], "Redis") {
		require.Eventually(t, func() bool {
			h, err := g.Storage.GetStorageHealth(t.Context())
			return err == nil && (h.Redis.HeartbeatAge < 0 || h.Redis.HeartbeatAge > staleness)
		}, time.Minute, 10*time.Millisecond, "nothing is fresh")
		s.requireOutcomes(t, expected, slow)
	}
	s.requireWaiting(t, expected[timesOut], mend)
	g.works(t)
}

// requireOutcomes looks at the calls, all at once.
func (s *servers) requireOutcomes(t *testing.T, expected map[outcome][]call, slow bool) {
	t.Helper()
	var all errgroup.Group
	for o, calls := range expected {
		if later[o] != "" {
			continue
		}
		for _, c := range calls {
			all.Go(func() error { return s.outcome(t, o, c, slow) })
		}
	}
	require.NoError(t, all.Wait())
}

var errAnswers = errors.New("answers")

func (s *servers) outcome(t *testing.T, want outcome, c call, slow bool) error {
	ctx := t.Context()
	if slow { // an answer takes longer than OpTimeout lets it here
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Minute)
		defer cancel()
	}
	for late := time.Now().Add(time.Minute); ; {
		err := c.do(ctx)
		if want == answers {
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			return nil
		}
		if err != nil && slices.Contains(codes[want], result.From(err).Code) {
			return nil
		}
		// Processes of a server outlive their postmaster for a moment.
		dying := want == fails && err != nil && slices.Contains(timeOuts, result.From(err).Code)
		if err != nil && !dying || time.Now().After(late) { // until then it is cached
			return fmt.Errorf("%s: %w, and not %s", c.name, cmp.Or(err, errAnswers), want)
		}
	}
}

// requireWaiting: what a stopped PostgreSQL keeps waiting is answered when it goes on.
func (s *servers) requireWaiting(t *testing.T, calls []call, mend func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var waiting errgroup.Group
	for _, c := range calls {
		waiting.Go(func() error {
			if err := c.do(ctx); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			return nil
		})
	}
	mend()
	require.NoError(t, waiting.Wait())
}

// change brings a situation about and gives what ends it.
func (s *servers) change(t *testing.T, situation int) (mend func()) {
	t.Helper()
	name := situations[situation]
	postgres, redis := !strings.HasPrefix(name, "Redis"), !strings.HasPrefix(name, "PostgreSQL")
	switch {
	case strings.HasSuffix(name, "slow"):
		if postgres {
			s.slowPostgres.Slow(20 * time.Millisecond)
		} else {
			s.slowRedis.Slow(300 * time.Millisecond) // more than the cache waits
		}
		return func() { s.slowPostgres.Pass(); s.slowRedis.Pass() }
	case strings.HasSuffix(name, "stopped"):
		var pids []int
		if redis {
			pids = append(pids, s.redis.PIDs()...)
		}
		if postgres {
			pids = append(pids, family(s.postgres.PIDs()[0])...)
		}
		signal(t, pids, syscall.SIGSTOP)
		return func() { signal(t, pids, syscall.SIGCONT) }
	}
	if redis {
		s.redis.Redis.Kill(syscall.SIGKILL)
	}
	if postgres {
		s.postgres.Postgres.Kill(syscall.SIGKILL)
	}
	return func() {
		require.NoError(t, s.postgres.Postgres.Start(context.Background()))
		require.NoError(t, s.redis.Redis.Start(context.Background()))
	}
}

// family is a process and its children, of which PostgreSQL's have groups of their own.
func family(pid int) []int {
	pids := []int{pid}
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, list := range lists {
		text, _ := os.ReadFile(list)
		for _, field := range strings.Fields(string(text)) {
			if child, err := strconv.Atoi(field); err == nil {
				pids = append(pids, child)
			}
		}
	}
	return pids
}

func signal(t *testing.T, pids []int, sig syscall.Signal) {
	t.Helper()
	for _, pid := range pids {
		if err := syscall.Kill(pid, sig); err != nil {
			require.ErrorIs(t, err, syscall.ESRCH)
		}
	}
}

// works waits until everything answers, and what can be is cached.
func (g *gateway) works(t *testing.T) {
	t.Helper()
	require.Eventually(t, func() bool {
		h, err := g.Storage.GetStorageHealth(t.Context())
		return err == nil && h.Redis.HeartbeatAge >= 0 && h.Redis.HeartbeatAge < staleness/2
	}, time.Minute, time.Millisecond)
	for _, calls := range []func(*gateway) []call{
		(*gateway).reads, (*gateway).lists, (*gateway).record, (*gateway).figures, (*gateway).writes, (*gateway).transactions, (*gateway).cached, (*gateway).cached,
	} {
		for _, c := range calls(g) {
			var err error
			require.Eventually(t, func() bool { err = c.do(t.Context()); return err == nil }, time.Minute, time.Millisecond, "%s: %v", c.name, err)
		}
	}
}

func (g *gateway) cached() []call {
	return []call{
		{"ValidateAPIKey", func(ctx context.Context) error { return g.APIKeys.ValidateAPIKey(ctx, g.hash).Err() }},
		{"GetCredentials", func(ctx context.Context) error { return g.Accounts.GetCredentials(ctx, g.account).Err() }},
		{"ValidateSession", func(ctx context.Context) error { return g.Sessions.ValidateSession(ctx, g.token).Err() }},
	}
}

func (g *gateway) uncached() []call {
	return []call{{"ValidateAPIKey of another key", func(ctx context.Context) error { return g.APIKeys.ValidateAPIKey(ctx, g.freshHash).Err() }}}
}

func (g *gateway) reads() []call {
	return []call{
		{"GetAPIKey", func(ctx context.Context) error { return g.APIKeys.GetAPIKey(ctx, g.key).Err() }},
		{"GetClaudeAccount", func(ctx context.Context) error { return g.Accounts.GetClaudeAccount(ctx, g.account).Err() }},
	}
}

func (g *gateway) lists() []call {
	return []call{
		{"GetAllAPIKeys", func(ctx context.Context) error { return g.APIKeys.GetAllAPIKeys(ctx, apikeys.Filters{}).Err() }},
		{"GetAvailableAccounts", func(ctx context.Context) error {
			return g.Accounts.GetAvailableAccounts(ctx, accounts.AvailableFilters{}).Err()
		}},
		{"ListSessions", func(ctx context.Context) error { return g.Sessions.ListSessions(ctx, sessions.Filters{}).Err() }},
	}
}

func (g *gateway) record() []call {
	return []call{{"RecordUsage", func(ctx context.Context) error {
		return g.Usage.RecordUsage(ctx, usage.Record{APIKeyID: g.key, AccountType: "claude", Model: "m", RequestCount: 1}).Err()
	}}}
}

func (g *gateway) figures() []call {
	end := time.Now().Add(time.Hour)
	return []call{
		{"GetUsageStats", func(ctx context.Context) error {
			return g.Usage.GetUsageStats(ctx, usage.StatsQuery{StartDate: end.AddDate(0, 0, -2), EndDate: end, Granularity: usage.Day}).Err()
		}},
		{"GetCostAnalysis", func(ctx context.Context) error {
			return g.Usage.GetCostAnalysis(ctx, usage.CostQuery{StartDate: end.AddDate(0, 0, -2), EndDate: end, GroupBy: usage.ByModel}).Err()
		}},
	}
}

func (g *gateway) writes() []call {
	return []call{
		{"CreateAPIKey", func(ctx context.Context) error {
			return g.APIKeys.CreateAPIKey(ctx, apikeys.KeyData{Name: "another"}).Err()
		}},
		{"UpdateAPIKey", func(ctx context.Context) error {
			return g.APIKeys.UpdateAPIKey(ctx, g.changing, apikeys.Patch{TokenLimit: result.Set[int64](1)}).Err()
		}},
		{"UpdateAccountStatus", func(ctx context.Context) error {
			return g.Accounts.UpdateAccountStatus(ctx, g.busy, accounts.Active, accounts.StatusMetadata{}).Err()
		}},
		{"CreateSession", func(ctx context.Context) error {
			return g.Sessions.CreateSession(ctx, sessions.Data{UserID: "v", UserType: sessions.User, SessionData: json.RawMessage("{}")}).Err()
		}},
	}
}

func (g *gateway) transactions() []call {
	return []call{
		{"InTransaction", func(ctx context.Context) error {
			return g.Transactions.InTransaction(ctx, repo.TxOptions{}, func(c *repo.Client) error { return c.APIKeys.GetAPIKey(ctx, g.key).Err() })
		}},
		{"BatchOperation", func(ctx context.Context) error {
			op := batch.Operation{Type: batch.Delete, Table: "api_keys", Where: map[string]any{"id": uuid.NewString()}}
			return g.Transactions.BatchOperation(ctx, []batch.Operation{op}, repo.TxOptions{}).Err()
		}},
	}
}

func (g *gateway) health() []call {
	return []call{{"GetStorageHealth", func(ctx context.Context) error {
		_, err := g.Storage.GetStorageHealth(ctx)
		return err
	}}}
}
