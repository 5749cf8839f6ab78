package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/seal"
	"github.com/seed14a526e0/relaystore/internal/testclient"
	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/accounts"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
)

// roleVar makes the test binary the gateway, with the race detector where the tests have it.
const roleVar = "EXAMPLEGATEWAY_TEST_ROLE"

func TestMain(m *testing.M) {
	if os.Getenv(roleVar) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// wait bounds what a test waits for.
const wait = time.Minute

// token is what no log may show.
const token = "tok-secret-access"

// bundle is a gateway's store, as its operator sees it.
type bundle struct {
	*testing.T
	client *repo.Client
	pool   *pgxpool.Pool
	env    []string
	logs   *logs
}

func setup(t *testing.T, env ...string) *bundle {
	t.Helper()
	t.Parallel()
	cfg := testclient.Config(t)
	cfg.KeysetFile = filepath.Join(t.TempDir(), "keyset")
	keys, err := seal.Generate()
	require.NoError(t, err)
	require.NoError(t, seal.CreateFile(cfg.KeysetFile, keys))
	return &bundle{
		T: t, client: testclient.Open(t, cfg), pool: testdb.Pool(t, cfg.DatabaseURL), logs: &logs{},
		env: append([]string{
			roleVar + "=gateway", "DATABASE_URL=" + cfg.DatabaseURL, "REDIS_URL=" + cfg.RedisURL,
			"RELAYSTORE_KEY_PREFIX=" + cfg.KeyPrefix, "RELAYSTORE_KEYSET_FILE=" + cfg.KeysetFile,
		}, env...),
	}
}

// key creates a key and gives its id and plaintext.
func (b *bundle) key(data apikeys.KeyData) (id, plaintext string) {
	b.Helper()
	data.Name = "n"
	k, err := b.client.APIKeys.CreateAPIKey(b.Context(), data).Get()
	require.NoError(b, err)
	return k.ID, k.APIKey
}

func (b *bundle) account(data accounts.AccountData) (id string) {
	b.Helper()
	data.Name, data.Platform = "n", accounts.Claude
	if data.OAuthData == nil && data.APIKey == "" {
		data.OAuthData = &accounts.OAuthData{AccessToken: token}
	}
	a, err := b.client.Accounts.CreateAccount(b.Context(), data).Get()
	require.NoError(b, err)
	return a.ID
}

// logs is what the process has written, and the channel of its first line.
type logs struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// process is a running gateway.
type process struct {
	*bundle
	cmd   *exec.Cmd
	url   string
	ended chan struct{}
}

func (b *bundle) start(args ...string) *process {
	b.Helper()
	self, err := os.Executable()
	require.NoError(b, err)
	p := &process{bundle: b, ended: make(chan struct{})}
	p.cmd = exec.Command(self, append([]string{"-listen", "127.0.0.1:0"}, args...)...)
	p.cmd.Env = append(os.Environ(), b.env...)
	p.cmd.Stderr = b.logs
	require.NoError(b, p.cmd.Start())
	go func() {
		_ = p.cmd.Wait()
		close(p.ended)
	}()
	b.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.ended
		require.NotContains(b, b.logs.String(), "tok-secret")
		require.NotContains(b, b.logs.String(), "DATA RACE")
	})
	p.until(func() bool {
		for line := range strings.Lines(b.logs.String()) {
			var said struct{ Msg, URL string }
			if json.Unmarshal([]byte(line), &said) == nil && said.Msg == "serving" {
				p.url = said.URL
			}
		}
		return p.url != ""
	})
	return p
}

// until waits for a condition, and tells the log where the gateway has ended before it.
func (p *process) until(holds func() bool) {
	p.Helper()
	require.Eventually(p, func() bool {
		select {
		case <-p.ended:
			return true
		default:
			return holds()
		}
	}, wait, time.Millisecond, p.logs)
	require.True(p, holds(), "%s", p.logs)
}

// stop sends SIGTERM and wants the exit code.
func (p *process) stop(want int) {
	p.Helper()
	require.NoError(p, p.cmd.Process.Signal(syscall.SIGTERM))
	select {
	case <-p.ended:
	case <-time.After(wait):
		require.Fail(p, "the gateway has not stopped", p.logs)
	}
	require.Equal(p, want, p.cmd.ProcessState.ExitCode(), p.logs)
}

const hello = `{"model":"claude-sonnet-4-20250514","max_tokens":9,"messages":[{"role":"user","content":"one two three"}]}`

var streamed = strings.Replace(hello, "{", `{"stream":true,`, 1)

func (p *process) request(body, header, value string) *http.Request {
	p.Helper()
	req, err := http.NewRequestWithContext(p.Context(), http.MethodPost, p.url+"/v1/messages", strings.NewReader(body))
	require.NoError(p, err)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set(header, value)
	return req
}

// answer is a whole answer.
type answer struct {
	status int
	header http.Header
	body   string
}

func (p *process) do(req *http.Request) answer {
	p.Helper()
	resp, err := http.DefaultClient.Do(req)
	require.NoError(p, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(p, err)
	return answer{resp.StatusCode, resp.Header, string(body)}
}

func (p *process) post(body, key string) answer {
	p.Helper()
	return p.do(p.request(body, "X-Api-Key", key))
}

func (p *process) get(path string) answer {
	p.Helper()
	req, err := http.NewRequestWithContext(p.Context(), http.MethodGet, p.url+path, nil)
	require.NoError(p, err)
	return p.do(req)
}

// requireRefused wants an error in the provider's shape.
func (p *process) requireRefused(a answer, status int, kind string) {
	p.Helper()
	require.Equal(p, status, a.status, a.body)
	var doc struct {
		Type  string
		Error struct{ Type, Message string }
	}
	require.NoError(p, json.Unmarshal([]byte(a.body), &doc), a.body)
	require.Equal(p, []string{"error", kind}, []string{doc.Type, doc.Error.Type})
	require.NotEmpty(p, doc.Error.Message)
	require.Equal(p, "application/json", a.header.Get("Content-Type"))
}

// ledger is what usage_records holds.
type ledger struct {
	Records, Requests, Input, Output, Total int64
	Cost                                    string
}

func (b *bundle) ledger() (l ledger) {
	b.Helper()
	require.NoError(b, b.pool.QueryRow(b.Context(), `SELECT count(*), coalesce(sum(requests), 0)::bigint, coalesce(sum(input_tokens), 0)::bigint,
		coalesce(sum(output_tokens), 0)::bigint, coalesce(sum(total_tokens), 0)::bigint, trim_scale(coalesce(sum(cost), 0))::text FROM usage_records`).
		Scan(&l.Records, &l.Requests, &l.Input, &l.Output, &l.Total, &l.Cost))
	return l
}

// recorded waits until the ledger has n records.
func (p *process) recorded(n int64) ledger {
	p.Helper()
	p.until(func() bool { return p.ledger().Records >= n })
	return p.ledger()
}
