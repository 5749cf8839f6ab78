package accounts_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/testclient"
	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/internal/testprovider"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/accounts"
	"github.com/seed14a526e0/relaystore/repo/accounts/oauth"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// secrets gives every field that holds one a text of its own.
var secrets = []string{
	"SECRET-ACCESS-0123456789", "SECRET-REFRESH-0123456789", "SECRET-PROXY-0123456789", "SECRET-APIKEY-0123456789", "SECRET-ID-0123456789",
	"SECRET-EMAIL-0123456789", "SECRET-PASSWORD-0123456789", "SECRET-AWSID-0123456789", "SECRET-AWSKEY-0123456789", "SECRET-AWSSESSION-0123456789",
	"SECRET-BEARER-0123456789", "SECRET-DROID-0123456789", "SECRET-SECOND-0123456789", "SECRET-THIRD-0123456789",
	"SECRET-NEWACCESS-0123456789", "SECRET-NEWREFRESH-0123456789", "SECRET-CLIENT-0123456789",
	"secret_in_lower_case", // what could be an error's word
}

func secretData(platform string) accounts.AccountData {
	d := full(platform)
	d.ID = ""
	d.OAuthData.AccessToken, d.OAuthData.RefreshToken, d.ProxyConfig.Password, d.APIKey = secrets[0], secrets[1], secrets[2], secrets[3]
	d.Secrets = accounts.Secrets{
		IDToken: secrets[4], Email: secrets[5], Password: secrets[6], BearerToken: secrets[10], APIKeys: []string{secrets[11]},
		AWS: &accounts.AWSCredentials{AccessKeyID: secrets[7], SecretAccessKey: secrets[8], SessionToken: secrets[9]},
	}
	return d
}

// forms are how a secret could be written.
func forms(secret string) []string {
	all := []string{secret, hex.EncodeToString([]byte(secret)), strings.ToUpper(hex.EncodeToString([]byte(secret)))}
	for shift := range 3 { // wherever it stands in what is encoded
		text := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", shift) + secret))
		all = append(all, text[4:len(text)-4])
	}
	return all
}

func requireNoSecret(t *testing.T, where, text string) {
	t.Helper()
	for _, s := range secrets {
		for _, form := range forms(s) {
			if i := strings.Index(text, form); i >= 0 {
				require.Fail(t, "a secret in "+where, text[max(0, i-200):i+len(form)])
			}
		}
	}
}

// written is what a debug logger and a tracer of every query and argument write.
type written struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (l *written) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(p)
}

// TraceQueryStart takes arguments in full: pgx's own logger cuts them off.
func (l *written) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	_, _ = fmt.Fprintf(l, "%s", data.SQL)
	for _, a := range data.Args {
		if b, ok := a.([]byte); ok {
			a = fmt.Sprintf("%s %x", b, b)
		}
		_, _ = fmt.Fprintf(l, " %+v", a)
	}
	return ctx
}

func (l *written) TraceQueryEnd(_ context.Context, _ *pgx.Conn, data pgx.TraceQueryEndData) {
	_, _ = fmt.Fprintln(l, data.CommandTag, data.Err)
}

func (l *written) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.String()
}

// traced makes a config write all that it can.
func (l *written) traced(t *testing.T) func(*repo.Config) {
	return func(c *repo.Config) {
		pc, err := pgxpool.ParseConfig(c.DatabaseURL)
		require.NoError(t, err)
		pc.ConnConfig.Tracer = l
		c.Pool, err = pgxpool.NewWithConfig(t.Context(), pc)
		require.NoError(t, err)
		t.Cleanup(c.Pool.Close)
		c.DatabaseURL, c.MaxConns = "", 0
		c.Logger = slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
}

// show prints and logs a value in every way.
func show(w io.Writer, v any) {
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		_, _ = fmt.Fprintf(w, verb+"\n", v)
	}
	slog.New(slog.NewJSONHandler(w, nil)).Info("x", "v", v)
	slog.New(slog.NewTextHandler(w, nil)).Info("x", "v", v)
}

// contain shows a value, pointers to it, and what holds it.
func contain[T any](w io.Writer, v T) {
	for _, holder := range []any{
		v, &v, []T{v}, []*T{&v}, [1]T{v}, map[string]T{"k": v}, struct{ V T }{v}, &struct{ V *T }{&v}, []any{v}, struct{ V any }{v}, map[string][]T{"k": {v}},
	} {
		show(w, holder)
	}
}

// Members of what hides itself hide themselves, too, and so does all that is made of
// them: fmt asks no method of a value that it cannot reach, and a logger that makes
// JSON of a list asks for JSON alone.
func TestMembersAndHoldersShowNoSecret(t *testing.T) {
	t.Parallel()
	var shown strings.Builder
	d := secretData(accounts.Claude)
	contain(&shown, d)
	contain(&shown, *d.OAuthData)
	contain(&shown, *d.ProxyConfig)
	contain(&shown, d.Secrets)
	contain(&shown, *d.Secrets.AWS)
	contain(&shown, accounts.Account{ID: "i", ProxyConfig: d.ProxyConfig})
	p := accounts.CredentialsPatch{OAuthData: result.Set(*d.OAuthData), APIKey: result.Set(d.APIKey), Secrets: result.Set(d.Secrets), ProxyConfig: result.Set(*d.ProxyConfig)}
	contain(&shown, p)
	contain(&shown, p.OAuthData)
	contain(&shown, p.APIKey)
	contain(&shown, p.Secrets)
	contain(&shown, p.ProxyConfig)
	c := accounts.Credentials{AccessToken: secrets[0], RefreshToken: secrets[1], APIKey: d.APIKey, Secrets: d.Secrets, ProxyConfig: d.ProxyConfig}
	contain(&shown, c)
	contain(&shown, struct{ accounts.Credentials }{c})
	contain(&shown, accounts.RefreshRequest{RefreshToken: secrets[1], Proxy: d.ProxyConfig})
	contain(&shown, accounts.Tokens{AccessToken: secrets[0], RefreshToken: secrets[1]})
	contain(&shown, accounts.Refreshed{AccessToken: secrets[0]})
	requireNoSecret(t, "prints and logs", shown.String())
	require.Contains(t, shown.String(), "[redacted]")
	require.Contains(t, shown.String(), "proxy.example", "an account shows its proxy")
}

// everything calls every method, also where it fails, and gives all that the
// answers show.
func (b *bundle) everything(p *testprovider.Provider) string {
	b.Helper()
	var shown strings.Builder
	show := func(v any) { show(&shown, v) }
	public := func(v any) {
		show(v)
		shown.WriteString(marshal(b, v))
	}
	bad := secretData(accounts.Claude)
	bad.OAuthData.AccessToken += "\n"
	public(b.accs.CreateAccount(b.ctx(), bad))
	for _, platform := range accounts.Platforms {
		data := secretData(platform)
		show(data)
		show(&data)
		created, err := b.accs.CreateAccount(b.ctx(), data).Get()
		require.NoError(b, err)
		public(created)
		id := created.ID
		public(b.accs.GetAccount(b.ctx(), id))
		public(b.accs.GetClaudeAccount(b.ctx(), id))
		for range 3 {
			show(b.accs.GetCredentials(b.ctx(), id))
			show(b.credentials(id))
		}
		contain(&shown, b.credentials(id))
		patch := accounts.CredentialsPatch{APIKey: result.Set(secrets[12]), OAuthData: result.Set(accounts.OAuthData{AccessToken: secrets[13]})}
		show(patch)
		public(b.accs.SetCredentials(b.ctx(), id, patch))
		public(b.accs.UpdateAccountStatus(b.ctx(), id, "rate_limited", accounts.StatusMetadata{RateLimitResetAt: ahead}))
		public(b.accs.CreateAccount(b.ctx(), func() accounts.AccountData { data.ID = id; return data }()))
	}
	public(b.accs.CreateClaudeAccount(b.ctx(), func() accounts.AccountData { d := secretData(""); return d }()))
	public(b.accs.GetAvailableAccounts(b.ctx(), accounts.AvailableFilters{}))
	public(b.accs.ListAccounts(b.ctx(), accounts.ListFilters{}))
	b.exec("UPDATE accounts SET api_key = refresh_token, proxy_password = 'x' WHERE platform = 'gemini'")
	page, err := b.accs.ListAccounts(b.ctx(), accounts.ListFilters{Platform: "gemini"}).Get()
	require.NoError(b, err)
	public(b.accs.GetCredentials(b.ctx(), page.Accounts[0].ID))
	cancelled, cancel := context.WithCancel(b.ctx())
	cancel()
	public(b.accs.CreateAccount(cancelled, secretData(accounts.Claude)))
	b.refreshes(p, show, public)
	return shown.String()
}

// dump gives every row of every table, and every key of Redis with its value.
func (b *bundle) dump() (postgres, redis string) {
	b.Helper()
	rows, err := b.pool.Query(b.ctx(), "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' AND table_type = 'BASE TABLE'")
	require.NoError(b, err)
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(b, err)
	var all, held strings.Builder
	for _, name := range names {
		var text string
		require.NoError(b, b.pool.QueryRow(b.ctx(), "SELECT coalesce(string_agg(t::text, ' '), '') FROM "+pgx.Identifier{name}.Sanitize()+" t").Scan(&text))
		_, _ = fmt.Fprintln(&all, text)
	}
	client := testdb.Redis(b.T)
	keys, err := client.Do(b.ctx(), client.B().Keys().Pattern(b.cfg.KeyPrefix+"*").Build()).AsStrSlice()
	require.NoError(b, err)
	for _, key := range keys {
		value, _ := client.Do(b.ctx(), client.B().Dump().Key(key).Build()).ToString()
		text, _ := client.Do(b.ctx(), client.B().Get().Key(key).Build()).ToString()
		_, _ = fmt.Fprintln(&held, key, value, text)
	}
	return all.String(), held.String()
}

func TestNoSecretLeavesButThroughGetCredentials(t *testing.T) {
	l := &written{}
	p := testprovider.Start(t)
	b := setup(t, l.traced(t), func(c *repo.Config) {
		c.OAuth = oauth.Endpoints{accounts.Claude: {TokenURL: p.URL, ClientID: testprovider.ClientID, ClientSecret: secrets[16]}}
	})
	shown := b.everything(p)
	requireNoSecret(t, "answers and errors", shown)
	require.Contains(t, shown, "[redacted]")
	require.Contains(t, shown, "proxy.example")

	one := b.create(secretData(accounts.Claude))
	var postgres, redis string
	require.Eventually(t, func() bool { // a write leaves a tombstone for a while
		_, redis = b.dump()
		return !strings.Contains(redis, "account:")
	}, time.Minute, 50*time.Millisecond)
	other := testclient.Open(t, b.cfg) // this process keeps the account already, it fills nothing
	require.Eventually(t, func() bool {
		require.NoError(t, other.Accounts.GetCredentials(b.ctx(), one).Err())
		postgres, redis = b.dump()
		return strings.Contains(redis, one)
	}, time.Minute, 50*time.Millisecond)
	requireNoSecret(t, "PostgreSQL", postgres)
	require.Contains(t, postgres, "proxy.example")
	requireNoSecret(t, "Redis", redis)

	requireNoSecret(t, "logs and traces", l.text())
	require.Contains(t, l.text(), "INSERT INTO accounts")
	require.Contains(t, l.text(), "proxy.example")
}

// The answer's JSON is how credentials go out where somebody wants them to.
func TestCredentialsMarshal(t *testing.T) {
	b := setup(t, uncached)
	id := b.create(secretData(accounts.Bedrock))
	doc, err := json.Marshal(b.accs.GetCredentials(b.ctx(), id))
	require.NoError(t, err)
	for _, s := range secrets[:12] {
		require.Contains(t, string(doc), s)
	}
	require.Contains(t, string(doc), `"expiresAt":"2099-01-02T03:04:05.678Z"`)
}
