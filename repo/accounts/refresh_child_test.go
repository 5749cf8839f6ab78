package accounts_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/seal"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/result"
)

const (
	// accountVar makes the test binary a gateway that refreshes this account.
	accountVar = "RELAYSTORE_TEST_ACCOUNT"
	// blockVar is the query before which, or after which, it stops for ever.
	blockVar = "RELAYSTORE_TEST_BLOCK"
	// callers is how many of its goroutines ask at once.
	callers = 20
)

func TestMain(m *testing.M) {
	if id := os.Getenv(accountVar); id != "" {
		os.Exit(playGateway(id))
	}
	os.Exit(m.Run())
}

// answer is one caller's.
type answer struct {
	Token   string
	Code    result.Code
	Details map[string]any
}

// playGateway answers each line of its input with one line of answers.
func playGateway(id string) int {
	ctx := context.Background()
	cfg, err := repo.ConfigFromEnv()
	if err != nil {
		return 2
	}
	if cfg.Pool, err = blockingPool(ctx, cfg.DatabaseURL, os.Getenv(blockVar)); err != nil {
		return 2
	}
	cfg.DatabaseURL = ""
	client, err := repo.Open(ctx, cfg)
	if err != nil {
		return 2
	}
	fmt.Println("ready")
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		doc, err := json.Marshal(askAtOnce(ctx, client, id))
		if err != nil {
			return 2
		}
		fmt.Printf("%s\n", doc)
	}
	if client.Close(ctx) != nil {
		return 1
	}
	return 0
}

// askAtOnce gives the callers' answers, and last what GetCredentials gives then.
func askAtOnce(ctx context.Context, client *repo.Client, id string) []answer {
	all := make([]answer, callers, callers+1)
	var running sync.WaitGroup
	for i := range all {
		running.Go(func() {
			a, err := client.Accounts.RefreshOAuthToken(ctx, id).Get()
			all[i] = asAnswer(a.AccessToken, err)
		})
	}
	running.Wait()
	c, err := client.Accounts.GetCredentials(ctx, id).Get()
	return append(all, asAnswer(c.AccessToken, err))
}

func asAnswer(token string, err error) answer {
	if e := result.From(err); e != nil {
		return answer{Code: e.Code, Details: e.Details}
	}
	return answer{Token: token}
}

// blocker stops the process's goroutine before a query, or after the commit that
// follows it: "before NAME" or "after NAME"; "commit" is the one after
// AccountRefreshSucceed.
type blocker struct {
	at string

	mu   sync.Mutex
	open map[*pgx.Conn][]string // transactions' queries by name
}

func blockingPool(ctx context.Context, url, at string) (*pgxpool.Pool, error) {
	pc, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	if at != "" {
		pc.ConnConfig.Tracer = &blocker{at: at, open: make(map[*pgx.Conn][]string)}
	}
	return pgxpool.NewWithConfig(ctx, pc)
}

type tracedQuery struct{}

func (b *blocker) TraceQueryStart(ctx context.Context, c *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	b.stop("before", c, data.SQL)
	return context.WithValue(ctx, tracedQuery{}, data.SQL)
}

func (b *blocker) TraceQueryEnd(ctx context.Context, c *pgx.Conn, _ pgx.TraceQueryEndData) {
	sql, _ := ctx.Value(tracedQuery{}).(string)
	b.stop("after", c, sql)
}

func (b *blocker) stop(when string, c *pgx.Conn, sql string) {
	name, named := strings.CutPrefix(sql, "-- name: ")
	name, _, _ = strings.Cut(name, " ")
	var points []string
	b.mu.Lock()
	switch {
	case strings.HasPrefix(sql, "begin"):
		b.open[c] = nil
	case named && when == "before":
		b.open[c] = append(b.open[c], name)
		points = []string{"before " + name}
	case sql == "commit":
		if slices.Contains(b.open[c], "AccountRefreshSucceed") {
			points = append(points, when+" commit")
		}
		for _, done := range b.open[c] {
			if when == "after" {
				points = append(points, "after "+done)
			}
		}
	}
	b.mu.Unlock()
	if slices.Contains(points, b.at) {
		fmt.Println("blocked")
		select {}
	}
}

// gateway is a child process.
type gateway struct {
	t   *testing.T
	cmd *exec.Cmd
	in  *os.File
	out *bufio.Reader
}

// environment makes a config a child's.
func (r *refreshing) environment() []string {
	r.Helper()
	file := r.TempDir() + "/keyset.json"
	require.NoError(r, seal.CreateFile(file, r.cfg.Keyset))
	doc, err := json.Marshal(r.cfg.OAuth)
	require.NoError(r, err)
	return append(os.Environ(), "DATABASE_URL="+r.cfg.DatabaseURL, "REDIS_URL="+r.cfg.RedisURL, "RELAYSTORE_KEY_PREFIX="+r.cfg.KeyPrefix,
		"RELAYSTORE_KEYSET_FILE="+file, "RELAYSTORE_OAUTH="+string(doc),
		"RELAYSTORE_PRIMARY_REDIS_URL="+r.cfg.PrimaryRedisURL, "RELAYSTORE_LEGACY_ENCRYPTION_KEY="+r.cfg.LegacyEncryptionKey, accountVar+"="+r.id)
}

// gateway starts a child that is ready; blockAt may be empty.
func (r *refreshing) gateway(blockAt string) *gateway {
	r.Helper()
	self, err := os.Executable()
	require.NoError(r, err)
	g := &gateway{t: r.T, cmd: exec.Command(self)}
	g.cmd.Env = append(r.environment(), blockVar+"="+blockAt)
	g.cmd.Stderr = r.log
	in, write, err := os.Pipe()
	require.NoError(r, err)
	g.cmd.Stdin, g.in = in, write
	out, err := g.cmd.StdoutPipe()
	require.NoError(r, err)
	g.out = bufio.NewReader(out)
	require.NoError(r, g.cmd.Start())
	_ = in.Close()
	r.Cleanup(g.kill)
	require.Equal(r, "ready", g.line())
	return g
}

// kill is SIGKILL.
func (g *gateway) kill() {
	_ = g.cmd.Process.Kill()
	_ = g.cmd.Wait()
	_ = g.in.Close()
}

func (g *gateway) line() string {
	g.t.Helper()
	line, err := g.out.ReadString('\n')
	require.NoError(g.t, err)
	return strings.TrimSpace(line)
}

func (g *gateway) ask() {
	g.t.Helper()
	_, err := g.in.WriteString("\n")
	require.NoError(g.t, err)
}

func (g *gateway) answers() (all []answer) {
	g.t.Helper()
	require.NoError(g.t, json.Unmarshal([]byte(g.line()), &all))
	require.Len(g.t, all, callers+1)
	return all
}

// end lets the child close its client.
func (g *gateway) end() {
	g.t.Helper()
	require.NoError(g.t, g.in.Close())
	require.NoError(g.t, g.cmd.Wait())
}

// one requires that all answers are the same token, and gives it.
func one(t *testing.T, all []answer) string {
	t.Helper()
	for _, a := range all {
		require.Equal(t, all[0], a)
	}
	require.Empty(t, all[0].Code, all[0].Details)
	return all[0].Token
}
