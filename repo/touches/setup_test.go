package touches_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/cache"
	"github.com/seed14a526e0/relaystore/internal/testchild"
	"github.com/seed14a526e0/relaystore/internal/testclient"
	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/accounts"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/sessions"
	"github.com/seed14a526e0/relaystore/repo/touches"
	"github.com/seed14a526e0/relaystore/strategy"
)

// patience is how long a condition may take to come true.
const patience = time.Minute

// types are those whose touches are written behind.
var types = []strategy.DataType{strategy.APIKey, strategy.Account, strategy.Session}

// bundle is a client that writes all behind, and looks at its stores.
type bundle struct {
	*testing.T
	*repo.Client

	cfg   repo.Config
	pool  *pgxpool.Pool
	redis rueidis.Client
}

// setup opens a client in a database and a stream of the test's own.
func setup(t *testing.T, change ...func(*repo.Config)) *bundle {
	t.Helper()
	t.Parallel()
	cfg := testclient.Config(t)
	cfg.UsageWrites = repo.WriteBehind
	pool := testdb.Pool(t, cfg.DatabaseURL)
	for _, f := range change {
		f(&cfg)
	}
	b := &bundle{T: t, Client: testclient.Open(t, cfg), cfg: cfg, pool: pool, redis: testdb.Redis(t)}
	for _, dataType := range types {
		b.switchTo(dataType, strategy.WriteBehind)
	}
	return b
}

func (b *bundle) switchTo(t strategy.DataType, w strategy.WriteStrategy) {
	b.Helper()
	c := strategy.Default(t, false)
	c.WriteStrategy = w
	require.NoError(b, b.Storage.SwitchStorageStrategy(b.Context(), t, c).Err())
}

func (b *bundle) eventually(condition func() bool, what string) {
	b.Helper()
	require.Eventually(b, condition, patience, 2*time.Millisecond, what)
}

func (b *bundle) stream() string { return b.cfg.KeyPrefix + "{journal}:touches" }

// add puts entries into the journal that somebody else has acknowledged.
func (b *bundle) add(entries ...string) {
	b.Helper()
	cmds := make(rueidis.Commands, len(entries))
	for i, e := range entries {
		cmds[i] = b.redis.B().Xadd().Key(b.stream()).Id("*").FieldValue().FieldValue("e", e).Build()
	}
	for _, reply := range b.redis.DoMulti(b.Context(), cmds...) {
		require.NoError(b, reply.Error())
	}
}

func (b *bundle) length(stream string) int64 {
	b.Helper()
	n, err := b.redis.Do(b.Context(), b.redis.B().Xlen().Key(stream).Build()).AsInt64()
	require.NoError(b, err)
	return n
}

func (b *bundle) drained() {
	b.Helper()
	b.eventually(func() bool { return b.length(b.stream()) == 0 }, "the journal is flushed")
}

// entry is one as this package writes them down.
func entry(t strategy.DataType, body map[string]any) string {
	text, _ := json.Marshal(map[string]any{"type": t, "entry": body})
	return "1" + string(text)
}

func statusEntry(account, status string, at time.Time, metadata map[string]any) string {
	if metadata == nil {
		metadata = map[string]any{}
	}
	return entry(strategy.Account, map[string]any{"account": account, "status": status, "at": at, "metadata": metadata})
}

func (b *bundle) account() string {
	b.Helper()
	a, err := b.Accounts.CreateAccount(b.Context(), accounts.AccountData{Platform: accounts.CCR, Name: "a"}).Get()
	require.NoError(b, err)
	return a.ID
}

func (b *bundle) key() apikeys.Created {
	b.Helper()
	k, err := b.APIKeys.CreateAPIKey(b.Context(), apikeys.KeyData{Name: "k"}).Get()
	require.NoError(b, err)
	return k
}

func (b *bundle) session(ttl time.Duration) sessions.Created {
	b.Helper()
	s, err := b.Sessions.CreateSession(b.Context(), sessions.Data{UserID: "u", UserType: sessions.User, SessionData: json.RawMessage(`{}`), TTL: ttl}).Get()
	require.NoError(b, err)
	return s
}

// stored reads one value past every cache.
func stored[V any](b *bundle, sql string, args ...any) (v V) {
	b.Helper()
	require.NoError(b, b.pool.QueryRow(b.Context(), sql, args...).Scan(&v))
	return v
}

func (b *bundle) exec(sql string, args ...any) {
	b.Helper()
	_, err := b.pool.Exec(b.Context(), sql, args...)
	require.NoError(b, err)
}

// gateway is a process of the three repos, whose journal is soon claimed from it.
type gateway struct {
	accounts *accounts.Repo
	keys     *apikeys.Repo
	sessions *sessions.Repo
	touches  *touches.Journal
}

const claimAfter = 300 * time.Millisecond

func openGateway(ctx context.Context, pool *pgxpool.Pool, redisURL, prefix string) (*gateway, error) {
	journal, err := cache.OpenJournal(ctx, cache.JournalOptions{
		URL: redisURL, Prefix: prefix, Name: touches.Name, ClaimAfter: claimAfter, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		return nil, err
	}
	g := &gateway{touches: touches.New(journal)}
	primary := &strategy.Postgres{Pool: pool, Retry: strategy.DefaultRetry, OpTimeout: 5 * time.Second}
	g.keys = apikeys.New(apikeys.Config{Primary: primary, Touches: g.touches.Kind(strategy.APIKey)})
	g.accounts = accounts.New(accounts.Config{Primary: primary, Touches: g.touches.Kind(strategy.Account)})
	g.sessions = sessions.New(sessions.Config{Primary: primary, Touches: g.touches.Kind(strategy.Session)})
	for _, t := range types {
		g.touches.Kind(t).Switch(true)
	}
	return g, nil
}

// roleVar makes the test binary, run by a test, a process of its own.
const roleVar = "RELAYSTORE_TOUCHES_ROLE"

func TestMain(m *testing.M) {
	if os.Getenv(roleVar) == "" {
		os.Exit(m.Run())
	}
	if err := playGateway(); err != nil {
		fmt.Println("failed:", err)
		os.Exit(1)
	}
}

// playGateway has three touches acknowledged, reads them, and never commits.
func playGateway() error {
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, os.Getenv("ROLE_DATABASE"))
	if err != nil {
		return err
	}
	g, err := openGateway(ctx, pool, os.Getenv("ROLE_REDIS"), os.Getenv("ROLE_PREFIX"))
	if err != nil {
		return err
	}
	ends, err := g.sessions.UpdateSession(ctx, os.Getenv("ROLE_SESSION"), sessions.Patch{ExtendTTL: 3 * time.Hour}).Get()
	if err != nil {
		return err
	}
	status := accounts.StatusMetadata{RateLimitResetAt: time.Now().Add(time.Hour)}
	if err := g.accounts.UpdateAccountStatus(ctx, os.Getenv("ROLE_ACCOUNT"), accounts.RateLimited, status).Err(); err != nil {
		return err
	}
	if err := g.keys.ValidatePlaintext(ctx, os.Getenv("ROLE_KEY")).Err(); err != nil {
		return err
	}
	if err := g.keys.Close(ctx); err != nil { // so that the use is acknowledged now
		return err
	}
	fmt.Println(ends.ExpiresAt.Format(time.RFC3339Nano))
	g.touches.Start(func(strategy.DataType) bool {
		fmt.Println("read")
		select {}
	})
	select {}
}

// child is the test binary as a gateway.
func (b *bundle) child(session, account, key string) *testchild.Process {
	b.Helper()
	return testchild.Start(b, roleVar+"=gateway", "ROLE_DATABASE="+b.cfg.DatabaseURL, "ROLE_REDIS="+b.cfg.RedisURL, "ROLE_PREFIX="+b.cfg.KeyPrefix+"child:",
		"ROLE_SESSION="+session, "ROLE_ACCOUNT="+account, "ROLE_KEY="+key)
}
